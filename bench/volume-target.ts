// Serves one clone as the data plane does, for bench/target.ts. Prints its port once it listens.
import pino from 'pino'
import { systemClock } from '../src/clock.js'
import type { TargetSpec } from '../src/rootdisk/export.js'
import { IscsiPortal } from '../src/rootdisk/iscsi/portal.js'
import { openVolume } from '../src/rootdisk/volume/open-volume.js'
import { hostBootId } from '../src/wiring/host-boot-id.js'

const [layersDir = '', runDir = '', size = '', iqn = '', initiatorIqn = '', ...layerIds] =
  process.argv.slice(2)
const chain = layerIds.map((layerId) => ({ layerId, sizeBytes: Number(size) }))
const open = (): ReturnType<typeof openVolume> =>
  openVolume({ layersDir, runDir, bootId: hostBootId(), chain, isReadOnly: false })
const target: TargetSpec = {
  iqn,
  initiatorIqn,
  chap: undefined,
  luns: [{ lun: 1, naa: '3000000000000001', serial: 'bench-1', open }],
}
const portal = new IscsiPortal(
  { host: '127.0.0.1', port: 0 },
  {
    targets: { find: (name) => (name === iqn ? target : undefined), list: () => [target] },
    emit: () => undefined,
    clock: systemClock,
    log: pino({ level: 'warn' }, pino.destination(2)),
  },
)
await portal.start((cause) => {
  throw cause
})
process.stdout.write(`${String(portal.port)}\n`)
