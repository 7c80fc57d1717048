import { closeSync, mkdirSync, openSync, readdirSync, readSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pino from 'pino'
import t, { type Test } from 'tap'
import { systemClock } from '../../../../src/clock.js'
import type { DaemonEvent, Stage } from '../../../../src/events.js'
import { openRegistry, type Registry } from '../../../../src/registry/registry.js'
import { TgtClient } from '../../../../src/rootdisk/target/tgt/tgt-client.js'
import { TgtDriver } from '../../../../src/rootdisk/target/tgt/tgt-driver.js'
import { TgtWatch } from '../../../../src/rootdisk/target/tgt/tgt-watch.js'
import { importRaw } from '../../../../src/rootdisk/volume/import-raw.js'
import { createLayer } from '../../../../src/rootdisk/volume/layer.js'
import { qemuIo, reasonWithoutTgtd, Tgtd, type Login } from '../../../fakes/tgtd.js'
import { CLONE, fill, GOLDEN, SERVER, VOLUME } from '../../../registry/sample-records.js'

const MIB = 2 ** 20
const SEED_BYTES = 256 * 1024
const DATA = { id: 'volume-2', name: 'data', layerId: 'blank', naa: '3000000000000002', sizeBytes: 8 * MIB }
const [SYSTEM, SEED, FIRST_DATA] = [1, 2, 3]

/** A driver before a real tgtd, with one server in the registry. */
interface Bench {
  readonly tgtd: Tgtd
  readonly client: TgtClient
  readonly driver: TgtDriver
  readonly watch: TgtWatch
  readonly registry: Registry
  readonly layersDir: string
  readonly events: DaemonEvent[]
  /** The byte that the seed disk is full of. */
  readonly seed: { byte: number }
  readonly login: Login
}

/** A golden image with 1s in its first MiB and 2s in one far behind, and the server's clone of it. */
async function makeLayers(dir: string): Promise<string> {
  const layersDir = join(dir, 'layers')
  mkdirSync(layersDir)
  const sourcePath = join(dir, 'image')
  const image = Buffer.alloc(9 * MIB)
  image.fill(1, 0, MIB)
  image.fill(2, 8 * MIB)
  writeFileSync(sourcePath, image)
  const extents = [{ offset: 0, length: image.length }]
  await importRaw({ layersDir, layerId: GOLDEN.id, sizeBytes: GOLDEN.sizeBytes, sourcePath, extents })
  await createLayer({ layersDir }, { layerId: CLONE.id, sizeBytes: CLONE.sizeBytes })
  return layersDir
}

async function benchOf(t: Test): Promise<Bench> {
  const dir = t.testdir()
  const layersDir = await makeLayers(dir)
  const registry = openRegistry(':memory:')
  fill(registry)
  const tgtd = await Tgtd.make()
  t.teardown(async () => {
    registry.close()
    await tgtd.remove()
  })
  const events: DaemonEvent[] = []
  const seed = { byte: 5 }
  const client = new TgtClient(tgtd.socketPath, systemClock)
  const isOurs = (iqn: string): boolean => iqn.includes('ingot')
  const shared = {
    client,
    isOurs,
    emit: (event: DaemonEvent): void => {
      events.push(event)
    },
  }
  const driver = new TgtDriver({
    ...shared,
    registry,
    dirs: { layersDir, runDir: dir },
    bootId: 'boot',
    renderSeed: () => Buffer.alloc(SEED_BYTES, seed.byte),
  })
  const watch = new TgtWatch({
    ...shared,
    driver,
    onUp: async () => {
      await driver.reload()
    },
    hasReached: (_iqn: string, stage: Stage) => events.some((event) => event.stage === stage),
    clock: systemClock,
    log: pino({ level: 'silent' }),
  })
  const chap = { user: SERVER.chapUser, secret: SERVER.chapSecret }
  const login = { port: tgtd.port, iqn: SERVER.iqn, initiator: SERVER.initiatorIqn, chap }
  return { tgtd, client, driver, watch, registry, layersDir, events, seed, login }
}

const filesOf = ({ layersDir }: Bench): string[] => readdirSync(join(layersDir, CLONE.id)).sort()
const rawOf = ({ layersDir }: Bench): string => join(layersDir, CLONE.id, 'raw')
const done = (text: string): RegExpMatchArray[] => [...text.matchAll(/^(?:read|wrote) \d+\/\d+ bytes/gm)]

async function serves(t: Test, bench: Bench): Promise<void> {
  const { driver, login } = bench
  t.same(await driver.reload(), { failed: [] })
  const whole = await qemuIo(login, SYSTEM, [
    'read -P 1 0 1M',
    'read -P 0 1M 1M',
    'read -P 2 8M 1M',
    'length',
  ])
  t.equal(done(whole).length, 3, whole)
  t.notMatch(whole, /failed|error/i)
  t.match(whole, /3 GiB/)
  t.ok(statSync(rawOf(bench)).blocks * 512 < 3 * MIB, 'what the image does not hold takes no space')
  const written = await qemuIo(login, SYSTEM, ['write -P 7 4M 64k', 'flush', 'read -P 7 4M 64k'])
  t.equal(done(written).length, 2, written)
  const raw = openSync(rawOf(bench), 'r')
  const bytes = Buffer.alloc(65_536)
  readSync(raw, bytes, 0, bytes.length, 4 * MIB)
  closeSync(raw)
  t.ok(bytes.every((byte) => byte === 7))
}

async function readsSeed(t: Test, { login, seed }: Bench): Promise<void> {
  const text = await qemuIo(login, SEED, [`read -P ${seed.byte} 0 ${SEED_BYTES}`, 'length'])
  t.match(text, /read 262144/)
  t.notMatch(text, /failed/i)
}

async function refuses(t: Test, { login, client }: Bench): Promise<void> {
  const read = (other: Partial<Login>): Promise<string> =>
    qemuIo({ ...login, ...other }, SYSTEM, ['read 0 4k'])
  const chap = { user: SERVER.chapUser, secret: 'another secret' }
  t.match(await read({ chap }), /Authentication failure/)
  t.match(await read({ chap: undefined }), /Authentication failure/)
  t.match(await read({ initiator: `${SERVER.initiatorIqn}2` }), /Target not found/)
  t.match(await client.targets(), [{ acl: [SERVER.initiatorIqn], accounts: [SERVER.chapUser] }])
}

async function follows(t: Test, bench: Bench): Promise<void> {
  const { driver, seed, registry, layersDir, login, client } = bench
  const before = filesOf(bench)
  seed.byte = 6
  await createLayer({ layersDir }, { layerId: DATA.layerId, sizeBytes: DATA.sizeBytes })
  registry.layers.insert({ ...CLONE, id: DATA.layerId, parentId: undefined, sizeBytes: DATA.sizeBytes })
  registry.volumes.insert({ ...DATA, imageId: undefined, createdMs: 1 })
  registry.attachments.insert({ volumeId: DATA.id, serverId: SERVER.id, lun: 2 })
  const [{ tid } = { tid: 0 }] = await client.targets()
  t.same(await driver.reload(), { failed: [] })
  await readsSeed(t, bench)
  t.equal(filesOf(bench).length, before.length, 'the seed disk before is gone')
  t.match(await qemuIo(login, FIRST_DATA, ['read -P 0 0 4k', 'length']), /8 MiB/)
  registry.attachments.delete(DATA.id)
  await driver.reload()
  t.match(await client.targets(), [{ tid, luns: [{ lun: SYSTEM }, { lun: SEED }] }])
  t.match(await qemuIo(login, FIRST_DATA, ['read 0 4k']), /can't open/)
}

async function comesBack(t: Test, bench: Bench): Promise<void> {
  const { tgtd, watch, client, driver, login } = bench
  await watch.look()
  const raw = statSync(rawOf(bench)).ino
  await tgtd.kill()
  await t.rejects(driver.reload(), {
    code: 'TARGET_UNAVAILABLE',
    message: /tgtd does not answer at .*: nobody/,
  })
  await watch.look()
  await tgtd.start()
  t.same(await client.targets(), [])
  await watch.look()
  t.equal(statSync(rawOf(bench)).ino, raw, 'the disk is the one that was')
  t.equal(done(await qemuIo(login, SYSTEM, ['read -P 7 4M 64k'])).length, 1)
  await tgtd.kill()
  await tgtd.start()
  await watch.look()
  t.match(await client.targets(), [{ iqn: SERVER.iqn }], 'a tgtd that was away between two looks is noticed')
}

async function tells(t: Test, bench: Bench): Promise<void> {
  const { watch, events, login, driver } = bench
  await watch.look()
  for (const last of ['iscsi-login', 'seed-read'] as const) {
    const session = qemuIo(login, SEED, [`read 0 ${SEED_BYTES}`, 'sleep 1500'])
    const deadline = performance.now() + 5000
    while (!events.some(({ stage }) => stage === last) && performance.now() < deadline) await watch.look()
    t.match(await driver.sessions(), [{ iqn: SERVER.iqn, initiator: SERVER.initiatorIqn }])
    await session
    await watch.look()
  }
  t.same(
    events.map(({ stage }) => stage),
    ['iscsi-login', 'kernel-login', 'seed-read'],
  )
  t.match(events[0], { kind: 'iscsi.login', iqn: SERVER.iqn, ip: '127.0.0.1' })
}

async function deletes(t: Test, { driver, registry, client, login }: Bench): Promise<void> {
  // libiscsi would try to log in again for ever
  const session = qemuIo(login, SYSTEM, ['aio_read -q 0 4M', 'aio_read -q 4M 4M', 'sleep 1000'], 2500)
  const deadline = performance.now() + 5000
  while ((await driver.sessions()).length === 0 && performance.now() < deadline);
  registry.servers.delete(SERVER.id)
  await driver.reload()
  t.same(await client.targets(), [], 'though somebody was logged in')
  await session
  t.match(await qemuIo(login, SYSTEM, ['read 0 4k']), /can't open/)
}

const reason = reasonWithoutTgtd()
const note = reason === undefined ? '' : ` (skipped: ${reason})`

void t.test(`tgtd serves what the registry wishes${note}`, { skip: reason !== undefined }, async (t) => {
  const bench = await benchOf(t)
  await bench.tgtd.start()
  await t.test('a disk of its image, that can be written', (t) => serves(t, bench))
  await t.test('the seed disk beside it', (t) => readsSeed(t, bench))
  await t.test('to nobody with another secret or name', (t) => refuses(t, bench))
  await t.test('with another seed and another volume when they change', (t) => follows(t, bench))
  await t.test('again after tgtd was started again', (t) => comesBack(t, bench))
  await t.test('and logins are told, and who reads the seed', (t) => tells(t, bench))
  await t.test('until the server is deleted', (t) => deletes(t, bench))
})

void t.test(
  `a foreign target of the same tgtd is left alone${note}`,
  { skip: reason !== undefined },
  async (t) => {
    const { tgtd, client, driver } = await benchOf(t)
    await tgtd.start()
    const targetname = 'iqn.2001-04.com.example:disk'
    await client.run([{ request: { mode: 'target', op: 'new', tid: 1, values: { targetname } } }])
    await driver.reload()
    await driver.reload()
    t.match(await client.targets(), [
      { tid: 1, iqn: targetname, luns: [], acl: [] },
      { tid: 2, iqn: SERVER.iqn },
    ])
  },
)

void t.test(
  `a server whose disk cannot be made is told, and no other waits for it${note}`,
  {
    skip: reason !== undefined,
  },
  async (t) => {
    const { tgtd, client, driver, registry, events } = await benchOf(t)
    await tgtd.start()
    registry.machines.insert({
      id: 'machine-2',
      name: 'm2',
      firmware: 'bios',
      nics: [],
      createdMs: 1,
      bmcUrl: undefined,
      bmcCredentialsFile: undefined,
      consoleFile: undefined,
      loader: undefined,
      inic: 'nic',
    })
    registry.layers.insert({ ...CLONE, id: 'lost' })
    registry.volumes.insert({
      ...VOLUME,
      id: 'volume-9',
      name: 'lost',
      layerId: 'lost',
      naa: '3000000000000009',
    })
    registry.servers.insert({
      ...SERVER,
      id: 'server-2',
      name: 'web-2',
      machineId: 'machine-2',
      volumeId: 'volume-9',
      iqn: 'iqn.2026-11.test.ingot:web-2',
      chapUser: 'web-2',
      bootToken: 'token-2',
      instanceId: 'instance-2',
      initiatorIqn: 'iqn.2026-11.test.ingot:host:web-2',
    })
    const { failed } = await driver.reload()
    t.match(failed[0], { volumeId: 'volume-9', message: /ENOENT/ })
    t.match(events[0], { kind: 'tgt.not-followed' })
    t.match(await client.targets(), [{ iqn: SERVER.iqn }])
  },
)
