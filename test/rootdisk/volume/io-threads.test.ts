import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock } from '../../../src/clock.js'
import { systemCode } from '../../../src/errors.js'
import { RING_SLOTS } from '../../../src/rootdisk/volume/io-ring.js'
import { IoThreads } from '../../../src/rootdisk/volume/io-threads.js'
import { settled } from '../../../src/rootdisk/volume/layer-files.js'

const PAGE = 4096

async function threads(t: Test, count: number, sharedBytes = 16 << 20): Promise<IoThreads> {
  const io = new IoThreads({ threads: count, sharedBytes }, systemClock)
  await io.start((cause) => t.fail('a thread died', { cause }))
  t.teardown(() => io.stop())
  return io
}

function file(t: Test, content: Uint8Array): { fd: number; path: string } {
  const path = join(t.testdir(), 'data')
  writeFileSync(path, content)
  const fd = openSync(path, 'r+')
  t.teardown(() => closeSync(fd))
  return { fd, path }
}

/** Pages that say which they are. */
function pages(count: number, first = 0): Buffer {
  const bytes = Buffer.alloc(count * PAGE)
  for (let i = 0; i < count; i++) bytes.fill(`page ${first + i} `, i * PAGE, (i + 1) * PAGE)
  return bytes
}

void t.test('more reads than the ring has slots all bring their own page', async (t) => {
  const count = RING_SLOTS * 2
  const content = pages(count)
  const io = await threads(t, 2)
  const { fd } = file(t, content)
  const into = io.allocate(count * PAGE)
  const order = Array.from({ length: count }, (_, i) => (i * 769) % count)
  await Promise.all(
    order.map((i) =>
      settled((done) => io.files.read(fd, into.subarray(i * PAGE, (i + 1) * PAGE), i * PAGE, done)),
    ),
  )
  t.ok(into.equals(content), 'every page is in its place')
})

void t.test('writes from memory of the threads and from any other land in the file', async (t) => {
  const io = await threads(t, 1, 64 * PAGE)
  const { fd, path } = file(t, Buffer.alloc(128 * PAGE))
  const shared = io.allocate(64 * PAGE)
  const other = io.allocate(64 * PAGE)
  t.ok(shared.buffer instanceof SharedArrayBuffer, 'within the limit memory is shared')
  t.notOk(other.buffer instanceof SharedArrayBuffer, 'beyond the limit it is not')
  shared.set(pages(64))
  other.set(pages(64, 64))
  const write = (from: Buffer, i: number, page: number): Promise<void> =>
    settled((done) => io.files.write(fd, from.subarray(i * PAGE, (i + 1) * PAGE), page * PAGE, done))
  await Promise.all(
    Array.from({ length: 64 }, (_, i) => [write(shared, i, i), write(other, i, 64 + i)]).flat(),
  )
  t.ok(readFileSync(path).equals(pages(128)), 'every page is in its place')
})

void t.test('a large write from the middle of a page lands whole', async (t) => {
  const io = await threads(t, 1)
  const { fd, path } = file(t, Buffer.alloc(128 * PAGE))
  const from = io.allocate(100 * PAGE)
  from.set(pages(100))
  await settled((done) => io.files.write(fd, from, 5 * 512, done))
  const content = readFileSync(path)
  t.ok(content.subarray(5 * 512, 5 * 512 + from.length).equals(from), 'all of it is there')
  t.equal(
    content.findLastIndex((byte) => byte !== 0),
    5 * 512 + from.length - 1,
    'and nothing behind it',
  )
})

void t.test(
  'an error of the system keeps its code, a file that ends too early is an I/O error',
  async (t) => {
    const io = await threads(t, 1)
    const { fd } = file(t, Buffer.alloc(PAGE))
    const into = io.allocate(2 * PAGE)
    const codeOf = (call: Promise<void>): Promise<unknown> => call.then(() => 'none', systemCode)
    t.equal(await codeOf(settled((done) => io.files.read(9999, into, 0, done))), 'EBADF')
    t.equal(await codeOf(settled((done) => io.files.read(fd, into, 0, done))), 'EIO')
    t.equal(await codeOf(settled((done) => io.files.read(fd, into.subarray(0, PAGE), 0, done))), 'none')
  },
)

void t.test('threads that sleep are woken for each of many lone requests', async (t) => {
  const io = await threads(t, 2)
  const { fd } = file(t, pages(8))
  const into = io.allocate(PAGE)
  for (let i = 0; i < 500; i++) {
    await settled((done) => io.files.read(fd, into, (i % 8) * PAGE, done))
    if (!into.equals(pages(1, i % 8))) t.fail(`read ${i} brought another page`)
  }
  t.pass('all 500 ended')
})

void t.test('before the start and after the end everything goes another way', async (t) => {
  const io = new IoThreads({ threads: 1, sharedBytes: 1 << 20 }, systemClock)
  const { fd } = file(t, pages(1))
  const into = io.allocate(PAGE)
  await settled((done) => io.files.read(fd, into, 0, done))
  t.ok(into.equals(pages(1)))
  await io.start((cause) => t.fail('a thread died', { cause }))
  await io.stop()
  into.fill(0)
  await settled((done) => io.files.read(fd, into, 0, done))
  t.ok(into.equals(pages(1)))
})
