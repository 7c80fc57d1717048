#!/usr/bin/env node
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from './clock.js'
import { stateDirs } from './control/state-dirs.js'
import { DaemonError } from './errors.js'
import type { EmitEvent } from './events.js'
import { HttpListener } from './http/listener.js'
import { openRegistry, type Registry } from './registry/registry.js'
import { lockState } from './registry/state-lock.js'
import { targetControlRoutes, type TargetControl } from './rootdisk/target/control-routes.js'
import { EventBuffer } from './rootdisk/target/event-buffer.js'
import type { Service } from './service.js'
import { atEnd, firstSocket, runDaemon, type EntryContext } from './wiring/entry.js'
import { spreadPlane } from './wiring/spread-plane.js'
import { targetPlane } from './wiring/target-plane.js'
import { WORKERS_LOCK } from './wiring/workers-lock.js'

/** The data plane: iSCSI targets and the volumes behind them. */
await runDaemon('ingot-targetd', (context) => {
  const { config, log } = context
  if (config.target.driver !== 'embedded') {
    throw new DaemonError(
      'CONFIG_INVALID',
      `target.driver is "${config.target.driver}": nothing is left to serve here`,
    )
  }
  const dirs = stateDirs(config.stateDir, config.runDir)
  mkdirSync(dirs.runDir, { recursive: true })
  const lock = lockState(join(dirs.stateDir, 'targetd.lock'), 'ingot-targetd')
  // Workers of one that was killed end at once, but they have to have ended.
  lockState(join(dirs.stateDir, WORKERS_LOCK), 'worker of ingot-targetd').release()
  const registry = openRegistry(dirs.registryFile, { readOnly: true })
  const events = new EventBuffer(systemClock)
  const { services, target } = plane(context, registry, (event) => events.push(event))
  const control = new HttpListener({
    options: { name: 'control', endpoint: { socketPath: config.target.controlSocket } },
    routes: [targetControlRoutes(events, target)],
    log,
  })
  const release = atEnd('registry', () => {
    registry.close()
    lock.release()
  })
  return [release, ...services, control, atEnd('events', () => events.close())]
})

/** What serves the disks, here or in workers, and what the control socket asks of it. */
function plane(
  context: EntryContext,
  registry: Registry,
  emit: EmitEvent,
): { readonly services: readonly Service[]; readonly target: TargetControl } {
  const { address: host, port, workers } = context.config.target
  const endpoint = { host, port, ...firstSocket(context.sockets, 'iscsi') }
  if (workers > 1) return spreadPlane(context, { registry, emit, endpoint })
  const { services, calls } = targetPlane(context, {
    registry,
    emit,
    portal: endpoint,
    hasNbdListeners: true,
  })
  const target = { ...calls, reload: () => calls.reload({ iqns: [], volumeIds: [] }) }
  return { services, target }
}
