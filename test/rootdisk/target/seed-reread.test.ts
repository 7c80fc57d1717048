import { join } from 'node:path'
import pino from 'pino'
import t, { type Test } from 'tap'
import { systemClock } from '../../../src/clock.js'
import type { DaemonEvent } from '../../../src/events.js'
import { openRegistry, type Registry } from '../../../src/registry/registry.js'
import { IscsiPortal } from '../../../src/rootdisk/iscsi/portal.js'
import { NbdServer } from '../../../src/rootdisk/nbd/nbd-server.js'
import { Exports } from '../../../src/rootdisk/target/exports.js'
import { NbdExports } from '../../../src/rootdisk/target/nbd-exports.js'
import { OpenVolumes } from '../../../src/rootdisk/target/open-volumes.js'
import { reload, type ReloadReport } from '../../../src/rootdisk/target/reload.js'
import { createLayer } from '../../../src/rootdisk/volume/layer.js'
import { Initiator } from '../../fakes/initiator.js'
import { CLONE, fill, GOLDEN, SERVER, VOLUME } from '../../registry/sample-records.js'
import { RawClient } from '../nbd/raw-client.js'
import { serverDeps, socketDir } from '../nbd/served.js'
import { TestDisk, unsynced } from '../volume/model-disk.js'

const SEED_BYTES = 1 << 20
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0]
const NO_R2T = ['InitialR2T=No', 'ImmediateData=Yes', 'MaxRecvDataSegmentLength=8192']

/** READ(10) of the whole seed disk. */
const READ_ALL = [0x28, 0, 0, 0, 0, 0, 0, SEED_BYTES / 512 / 256, 0, 0]

/** A target process in this one: a registry, both portals, and what follows the registry. */
interface Served {
  readonly registry: Registry
  readonly portal: IscsiPortal
  readonly socket: string
  readonly events: DaemonEvent[]
  readonly reload: () => Promise<ReloadReport>
  readonly login: (isid?: number) => Promise<Initiator>
}

/** The seed says the server's name in every sector. */
function renderSeed({ name }: { name: string }): Buffer {
  return Buffer.alloc(SEED_BYTES, name.padEnd(512))
}

async function served(t: Test): Promise<Served> {
  const registry = openRegistry(':memory:')
  fill(registry)
  registry.servers.change(SERVER.id, { chapSecret: 'a secret of 16 b' })
  const disk = new TestDisk(t.testdir())
  for (const { id: layerId, sizeBytes } of [CLONE, GOLDEN])
    await createLayer(disk, { layerId, sizeBytes }, unsynced)
  const volumes = new OpenVolumes(disk.store(), (id) =>
    registry.layers
      .chain(registry.volumes.get(id)?.layerId ?? '')
      .map(({ id: layerId, sizeBytes }) => ({ layerId, sizeBytes })),
  )
  const openVolume = (id: string): ReturnType<OpenVolumes['acquire']> => volumes.acquire(id)
  const seedSource = { renderSeed, seedRevision: ({ name }: { name: string }) => name }
  const exports = new Exports({ registry, openVolume, seedNaa: () => '3000000000000033', ...seedSource })
  exports.reload()
  const events: DaemonEvent[] = []
  const emit = (event: DaemonEvent): void => void events.push(event)
  const log = pino({ level: 'silent' })
  const portal = new IscsiPortal(
    { host: '127.0.0.1', port: 0, maxSessionsPerTarget: 3, drainMs: 0 },
    { targets: { find: withoutChap(exports), list: () => exports.list() }, emit, clock: systemClock, log },
  )
  const disks = new NbdExports(exports, registry)
  const socket = join(socketDir(t), 'nbd.sock')
  const nbd = new NbdServer({ socketPath: socket }, { ...serverDeps([]), exports: disks })
  for (const service of [portal, nbd]) await service.start((cause) => t.fail(cause.message))
  t.teardown(async () => {
    await Promise.all([portal.stop(), nbd.stop()])
    registry.close()
  })
  const nbdPortal = {
    refresh: () => nbd.refresh(),
    drop: (iqns: ReadonlySet<string>) => nbd.drop((id) => iqns.has(disks.iqnOfId(id) ?? '')),
  }
  const login = async (isid = 1): Promise<Initiator> => {
    const initiator = new Initiator(portal.port)
    t.teardown(() => initiator.close())
    t.equal(await initiator.openSession(SERVER.iqn, SERVER.initiatorIqn, NO_R2T, isid), 0)
    for (const lun of [0, 1]) await ready(initiator, lun)
    return initiator
  }
  const follow = (): Promise<ReloadReport> => reload({ exports, volumes, portals: [portal, nbdPortal], emit })
  return { registry, portal, socket, events, reload: follow, login }
}

/** The initiator of these tests proves nothing. */
function withoutChap(exports: Exports): Exports['find'] {
  return (iqn) => {
    const spec = exports.find(iqn)
    return spec && { iqn, initiatorIqn: spec.initiatorIqn, chap: undefined, luns: spec.luns }
  }
}

async function ready(initiator: Initiator, lun: number): Promise<string> {
  return (await initiator.run(lun, TEST_UNIT_READY, { flags: 0x81 })).sense
}

/** Which names the sectors of the seed disk say. */
async function namesIn(initiator: Initiator): Promise<string[]> {
  const { data, sense } = await initiator.run(1, READ_ALL, { flags: 0xc1, edtl: SEED_BYTES })
  return sense === '' ? sectorNames(data) : [sense]
}

function sectorNames(bytes: Uint8Array): string[] {
  const names = new Set<string>()
  for (let at = 0; at < bytes.length; at += 512)
    names.add(
      Buffer.from(bytes.subarray(at, at + 512))
        .toString()
        .trimEnd(),
    )
  return [...names]
}

await t.test(
  'a change of the records reaches a live session: the medium may have changed (28h/00h)',
  async (t) => {
    const { registry, reload: follow, login } = await served(t)
    const [first, second] = [await login(1), await login(2)]
    const sessions = [first, second]
    for (const session of sessions) t.same(await namesIn(session), ['web-1'])
    await follow()
    t.equal(await ready(first, 1), '', 'nothing is told when nothing has changed')
    registry.servers.change(SERVER.id, { name: 'web-2' })
    await follow()
    for (const session of sessions) {
      t.equal(await ready(session, 0), '', 'the system disk is as it was')
      t.same(await namesIn(session), ['6/28/0'], 'the read that meets it is not run')
      t.same(await namesIn(session), ['web-2'])
      t.equal(await ready(session, 1), '', 'and it is told once')
    }
  },
)

await t.test('a client of NBD reads the new bytes over the connection it has', async (t) => {
  const { registry, socket, reload: follow } = await served(t)
  const client = new RawClient(socket)
  await client.go('machine/rack1-u1/seed', false)
  t.same(sectorNames((await client.ask(0, 0, SEED_BYTES)).data), ['web-1'])
  registry.servers.change(SERVER.id, { name: 'web-2' })
  await follow()
  t.same(sectorNames((await client.ask(0, 0, SEED_BYTES)).data), ['web-2'])
})

await t.test(
  'a read that is under way sees sectors of the old or of the new disk, each of them whole',
  async (t) => {
    const { registry, reload: follow, login } = await served(t)
    const session = await login()
    for (let round = 0; round < 20; round++) {
      const [before, after] = [`web-${round + 1}`, `web-${round + 2}`]
      registry.servers.change(SERVER.id, { name: after })
      const [names] = await Promise.all([namesIn(session), follow()])
      t.ok(
        names.every((name) => [before, after, '6/28/0'].includes(name)),
        names.join(', '),
      )
      while ((await ready(session, 1)) !== '') t.pass('told')
      t.same(await namesIn(session), [after])
    }
  },
)

await t.test('a server that was deployed again loses the sessions of its old disk', async (t) => {
  const { registry, reload: follow, login } = await served(t)
  const session = await login()
  registry.layers.insert({ ...CLONE, id: 'clone-2' })
  registry.volumes.insert({
    ...VOLUME,
    id: 'volume-2',
    name: 'v2',
    layerId: 'clone-2',
    naa: '3e1be11e00000002',
  })
  registry.servers.change(SERVER.id, { volumeId: 'volume-2' })
  t.same((await follow()).replaced, [SERVER.iqn])
  await session.closed
})
