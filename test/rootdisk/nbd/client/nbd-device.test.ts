import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../../../../src/clock.js'
import { BlockError, type BlockDevice } from '../../../../src/rootdisk/block-device.js'
import { NbdDevice, type NbdPatience } from '../../../../src/rootdisk/nbd/client/nbd-device.js'
import { serveDevice } from '../../../../src/rootdisk/nbd/serve-device.js'
import { MemoryDisk } from '../../../fakes/memory-disk.js'
import { missing, run, serve, serverDeps, socketDir } from '../served.js'

const MIB = 1 << 20
type Test = Parameters<typeof serve>[1]

async function attach(test: Test, socketPath: string, patience?: NbdPatience): Promise<NbdDevice> {
  const location = { server: { socketPath }, exportName: 'disk' }
  const device = await NbdDevice.open(location, systemClock, patience)
  test.teardown(() => device.close().catch(() => undefined))
  return device
}

/** The kind of its failure, or `good`. */
async function outcomeOf(work: undefined | Promise<void>): Promise<string> {
  try {
    await work
    return 'good'
  } catch (err) {
    if (err instanceof BlockError) return err.kind
    throw err
  }
}

/** The device's timers keep no process alive; in a daemon something else does. */
function stayAlive(test: Test): void {
  const alive = setInterval(() => undefined, 1000)
  test.teardown(() => clearInterval(alive))
}

async function contentOf(device: BlockDevice, length = device.sizeBytes): Promise<Buffer> {
  const content = Buffer.alloc(length, 0xee)
  await device.read(0, content)
  return content
}

await t.test(
  'what is written is read, on a server that answers at once and on one that takes its time',
  async (test) => {
    for (const isSlow of [false, true]) {
      const disk = new MemoryDisk(40 * MIB, { isSlow })
      const { socketPath } = await serve(disk, test)
      const device = await attach(test, socketPath)
      test.equal(device.sizeBytes, 40 * MIB)
      const expected = randomBytes(40 * MIB)
      expected.fill(0, 3 * MIB, 9 * MIB)
      await device.write(0, expected) // more than a request may carry
      const small = randomBytes(5000)
      const writes = Array.from({ length: 100 }, (_, i) =>
        Promise.resolve(device.write(12 * MIB + i * 7777, small)),
      )
      await Promise.all(writes)
      for (let i = 0; i < 100; i++) expected.set(small, 12 * MIB + i * 7777)
      await device.unmap(20 * MIB + 17, 2 * MIB)
      expected.fill(0, 20 * MIB + 17, 22 * MIB + 17)
      test.ok(disk.bytes.equals(expected), 'on the disk')
      test.ok((await contentOf(device)).equals(expected), 'read back')
      test.same(await device.extents(0, 10 * MIB), disk.extents(0, 10 * MIB))
      test.equal(disk.flushes, 0)
      await device.flush()
      test.equal(disk.flushes, 1)
      await device.close()
      test.equal(await outcomeOf(device.read(0, small)), 'medium')
    }
  },
)

await t.test('failures of the server are failures of the device, by their kind', async (test) => {
  const disk = new MemoryDisk(MIB)
  const { socketPath } = await serve(disk, test)
  const device = await attach(test, socketPath)
  for (const kind of ['no-space', 'medium', 'read-only'] as const) {
    disk.failure = new BlockError(kind, 'as told')
    test.equal(await outcomeOf(device.write(0, Buffer.alloc(1))), kind)
    test.equal(await outcomeOf(device.read(0, Buffer.alloc(1))), kind)
    disk.failure = undefined
  }
  const readOnly = await serve(new MemoryDisk(MIB, { isReadOnly: true }), test)
  const sealed = await attach(test, readOnly.socketPath)
  test.ok(sealed.isReadOnly)
  test.equal(await outcomeOf(sealed.write(0, Buffer.alloc(1))), 'read-only')
})

await t.test('an export that does not exist is refused in words', async (test) => {
  const { socketPath } = await serve(new MemoryDisk(MIB), test)
  const location = { server: { socketPath }, exportName: 'other' }
  await test.rejects(NbdDevice.open(location, systemClock), { name: 'NbdRefused', message: /"other"/ })
  const nobody = { server: { socketPath: `${socketPath}.none` }, exportName: 'disk' }
  await test.rejects(NbdDevice.open(nobody, systemClock), { code: 'ENOENT' })
})

/** A disk that keeps what was flushed: its content after the power failed. */
class CachedDisk extends MemoryDisk {
  flushed: Buffer

  constructor(sizeBytes: number) {
    super(sizeBytes, { isSlow: true })
    this.flushed = Buffer.alloc(sizeBytes)
  }

  override flush(): undefined | Promise<void> {
    this.flushed = Buffer.from(this.bytes)
    return super.flush()
  }
}

await t.test('writes that a server acknowledged and lost are made again, in their order', async (test) => {
  const socketPath = join(socketDir(test), 'nbd.sock')
  const start = async (disk: MemoryDisk): Promise<ReturnType<typeof serveDevice>> => {
    const server = serveDevice({ device: disk, socketPath, name: 'disk' }, serverDeps([]))
    await server.start((cause) => {
      throw cause
    })
    return server
  }
  stayAlive(test)
  const before = new CachedDisk(4 * MIB)
  const first = await start(before)
  const states: string[] = []
  let onBack: (() => void) | undefined
  const back = new Promise<void>((resolve) => (onBack = resolve))
  const device = await attach(test, socketPath, {
    onConnection: (state) => {
      states.push(state)
      if (state === 'back') onBack?.()
    },
  })
  await device.write(0, Buffer.alloc(MIB, 1))
  await device.flush()
  const buffer = Buffer.alloc(8192)
  for (let i = 0; i < 50; i++) await device.write(4096 * (i % 7), buffer.fill(100 + i)) // later over earlier ones
  await device.unmap(MIB - 4096, 4096)
  const expected = Buffer.from(before.bytes)
  await first.stop()
  rmSync(socketPath, { force: true })

  const after = new CachedDisk(6 * MIB) // it also grew
  after.bytes.set(before.flushed)
  const waiting = device.write(2 * MIB, Buffer.alloc(4096, 9)) // asked while nobody is there
  expected.fill(9, 2 * MIB, 2 * MIB + 4096)
  const second = await start(after)
  test.teardown(() => second.stop())
  await Promise.all([waiting, back])
  test.ok(after.bytes.subarray(0, 4 * MIB).equals(expected))
  test.equal(device.sizeBytes, 6 * MIB)
  test.equal(states[0], 'lost')
  test.equal(states.at(-1), 'back')
  await device.flush()
  test.ok(after.flushed.subarray(0, 4 * MIB).equals(expected))
  await device.close() // before its server, or it would wait for it
})

await t.test(
  'a server that stays away fails requests after the patience, and works again once it is back',
  async (test) => {
    const socketPath = join(socketDir(test), 'nbd.sock')
    stayAlive(test)
    const disk = new MemoryDisk(MIB)
    const start = async (): Promise<ReturnType<typeof serveDevice>> => {
      const server = serveDevice({ device: disk, socketPath, name: 'disk' }, serverDeps([]))
      await server.start((cause) => {
        throw cause
      })
      return server
    }
    const first = await start()
    let onBack: (() => void) | undefined
    const back = new Promise<void>((resolve) => (onBack = resolve))
    const device = await attach(test, socketPath, {
      outageMs: 100,
      onConnection: (state) => {
        if (state === 'back') onBack?.()
      },
    })
    await first.stop()
    test.equal(await outcomeOf(device.write(0, Buffer.alloc(1))), 'medium')
    test.equal(await outcomeOf(device.read(0, Buffer.alloc(1))), 'medium')
    const second = await start()
    test.teardown(() => second.stop())
    await back
    await device.write(0, Buffer.of(5))
    test.equal(disk.bytes[0], 5)
    await device.close()
  },
)

/** nbdkit on a file, until killed. */
async function nbdkit(socketPath: string, file: string): Promise<{ kill(): Promise<void> }> {
  const child = spawn('nbdkit', ['-f', '-U', socketPath, '-e', 'disk', 'file', file], { stdio: 'ignore' })
  while (!existsSync(socketPath)) await new Promise((resolve) => setImmediate(resolve))
  return {
    async kill() {
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
      rmSync(socketPath, { force: true })
    },
  }
}

await t.test(
  'no write is lost when nbdkit is killed in the middle of many',
  { skip: missing('nbdkit') },
  async (test) => {
    const dir = socketDir(test)
    const [socketPath, file] = [join(dir, 'nbd.sock'), join(dir, 'disk.raw')]
    writeFileSync(file, '')
    truncateSync(file, 16 * MIB)
    stayAlive(test)
    let server = await nbdkit(socketPath, file)
    const device = await attach(test, socketPath)
    const expected = Buffer.alloc(16 * MIB)
    const writes: Promise<void>[] = []
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 300; i++) {
        const data = randomBytes(4096)
        const at = ((round * 300 + i) * 4096 * 3) % (16 * MIB)
        expected.set(data, at)
        writes.push(Promise.resolve(device.write(at, data)))
      }
      await writes[round * 300 + 20] // some are answered, most are not
      await server.kill()
      server = await nbdkit(socketPath, file)
    }
    await Promise.all(writes)
    await device.flush()
    test.ok((await contentOf(device)).equals(expected))
    test.ok(readFileSync(file).equals(expected))
    await device.close()
    await server.kill()
  },
)

await t.test(
  'qemu-nbd is a server too: bytes, holes and zeros',
  { skip: missing('qemu-nbd') },
  async (test) => {
    const dir = socketDir(test)
    const [socketPath, file] = [join(dir, 'nbd.sock'), join(dir, 'disk.qcow2')]
    const made = await run('qemu-img', ['create', '-q', '-f', 'qcow2', file, '8M'])
    test.equal(made.status, 0, made.output)
    const argv = ['-f', 'qcow2', '-k', socketPath, '-x', 'disk', '--discard=unmap', file]
    const child = spawn('qemu-nbd', argv, { stdio: 'ignore' })
    const gone = once(child, 'exit')
    while (!existsSync(socketPath)) await new Promise((resolve) => setImmediate(resolve))
    const device = await attach(test, socketPath, {})
    const data = randomBytes(MIB)
    await device.write(MIB, data)
    await device.write(4 * MIB, data)
    await device.unmap(4 * MIB, MIB / 2)
    await device.flush()
    const expected = Buffer.alloc(8 * MIB)
    expected.set(data, MIB)
    expected.set(data.subarray(MIB / 2), 4.5 * MIB)
    test.ok((await contentOf(device)).equals(expected))
    test.same(await device.extents(0, 8 * MIB), [
      { offset: 0, length: MIB, kind: 'zero' },
      { offset: MIB, length: MIB, kind: 'data' },
      { offset: 2 * MIB, length: 2.5 * MIB, kind: 'zero' },
      { offset: 4.5 * MIB, length: MIB / 2, kind: 'data' },
      { offset: 5 * MIB, length: 3 * MIB, kind: 'zero' },
    ])
    await device.close() // the last client: qemu-nbd ends by itself
    await gone
  },
)

await t.test(
  'a device behind a device: our server serves what our client reads elsewhere',
  { skip: missing('nbdcopy') },
  async (test) => {
    const disk = new MemoryDisk(8 * MIB, { isSlow: true })
    disk.bytes.set(randomBytes(MIB), 5 * MIB)
    const behind = await serve(disk, test)
    const device = await attach(test, behind.socketPath)
    const front = await serve(device, test)
    const copy = join(socketDir(test), 'copy.raw')
    const { status, output } = await run('nbdcopy', [`nbd+unix:///disk?socket=${front.socketPath}`, copy])
    test.equal(status, 0, output)
    test.ok(readFileSync(copy).equals(disk.bytes))
  },
)
