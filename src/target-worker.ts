import { join } from 'node:path'
import { stateDirs } from './control/state-dirs.js'
import { openRegistry } from './registry/registry.js'
import { shareState } from './registry/state-lock.js'
import { ParentLink } from './rootdisk/target/workers/parent-link.js'
import { atEnd, atStart, runDaemon } from './wiring/entry.js'
import { targetPlane } from './wiring/target-plane.js'
import { WORKERS_LOCK } from './wiring/workers-lock.js'

/** A worker of the data plane: serves the connections that its parent, `ingot-targetd`, hands to it. */
await runDaemon('ingot-target-worker', (context) => {
  const { config } = context
  const dirs = stateDirs(config.stateDir, config.runDir)
  const lock = shareState(join(dirs.stateDir, WORKERS_LOCK), 'ingot-targetd')
  // Nobody knows what we have open any more: the next parent starts when we have gone.
  const orphaned = (): void => process.exit(1)
  process.once('disconnect', orphaned)
  const registry = openRegistry(dirs.registryFile, { readOnly: true })
  const link = new ParentLink(process, (layerId) =>
    registry.images.list().some((image) => image.layerId === layerId),
  )
  const { services, portal, nbd, calls } = targetPlane(context, {
    ...{ registry, portal: {}, hasNbdListeners: false, claims: link },
    emit: (event) => link.emit(event),
  })
  const release = atEnd('registry', () => {
    registry.close()
    lock.release()
    process.off('disconnect', orphaned)
    process.disconnect() // it would keep this process
  })
  const duties = {
    calls,
    takeIscsi: portal.take.bind(portal),
    takeNbd: nbd === undefined ? () => undefined : nbd.take.bind(nbd),
  }
  return [release, ...services, atStart('parent', () => link.serve(duties))]
})
