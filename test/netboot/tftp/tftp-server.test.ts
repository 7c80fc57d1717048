import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pino from 'pino'
import t, { type Test } from 'tap'
import { systemClock, type Clock } from '../../../src/clock.js'
import type { DaemonEvent } from '../../../src/events.js'
import { BootFiles, inMemory } from '../../../src/netboot/boot-files.js'
import { decodeTftp, encodeTftp, type TftpPacket } from '../../../src/netboot/tftp/packet.js'
import { TftpServer, type TftpServerOptions } from '../../../src/netboot/tftp/tftp-server.js'
import { download } from '../../fakes/lossy-tftp-client.js'
import { ManualClock } from '../../fakes/manual-clock.js'

const HOST = '127.0.0.1'

interface Bench {
  readonly server: TftpServer
  readonly directory: string
  readonly events: DaemonEvent[]
  readonly port: number
}

async function serve(
  t: Test,
  files: Record<string, string | Buffer>,
  more: Partial<TftpServerOptions> = {},
  clock: Clock = systemClock,
): Promise<Bench> {
  const directory = t.testdir({})
  for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content)
  const events: DaemonEvent[] = []
  const server = new TftpServer({
    options: { address: HOST, port: 0, ...more },
    files: new BootFiles({ directories: [directory], cachedFileBytes: 100_000 }),
    virtualFile: (name, ip) =>
      Promise.resolve(name === 'autoexec.ipxe' ? inMemory(Buffer.from(`for ${ip}`)) : undefined),
    isOptional: (name) => name === 'shim_certificate_0.efi',
    emit: (event) => events.push(event),
    clock,
    log: pino({ level: 'silent' }),
  })
  await server.start((err) => t.fail(err.message))
  t.teardown(() => server.stop())
  return { server, directory, events, port: server.port ?? 0 }
}

async function peer(t: Test): Promise<Socket> {
  const socket = createSocket('udp4')
  socket.bind(0, HOST)
  await once(socket, 'listening')
  t.teardown(() => void socket.close())
  return socket
}

async function answer(socket: Socket): Promise<{ packet: TftpPacket; port: number }> {
  const [bytes, from] = (await once(socket, 'message')) as [Buffer, { port: number }]
  return { packet: decodeTftp(bytes), port: from.port }
}

const rrq = (filename: string, options: Record<string, string> = {}, mode = 'octet'): Buffer =>
  encodeTftp({ op: 'rrq', filename, mode, options: new Map(Object.entries(options)) })

function bytesOf(size: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 0xff))
}

void t.test('files of all awkward sizes arrive whole, with and without options', async (t) => {
  const sizes = [0, 1, 511, 512, 513, 1468, 1469, 65_536, 150_000]
  const files = Object.fromEntries(sizes.map((size) => [`f${String(size)}`, bytesOf(size)]))
  const { port } = await serve(t, files, { transfersPerClient: 50 })
  for (const size of sizes) {
    for (const options of [{}, { blksize: '1468', windowsize: '16', tsize: '0' }, { blksize: '1432' }]) {
      const result = await download({
        host: HOST,
        port,
        filename: `f${String(size)}`,
        options: new Map(Object.entries(options)),
      })
      t.ok(
        'data' in result && result.data.equals(bytesOf(size)),
        `${String(size)} bytes, ${JSON.stringify(options)}`,
      )
    }
  }
})

void t.test('a windowed transfer survives loss both ways and doubled ACKs', async (t) => {
  const { port } = await serve(t, { file: bytesOf(400_000) })
  let seed = 7
  const isLost = (): boolean => (seed = (seed * 48_271) % 2_147_483_647) % 100 < 2
  const options = new Map([
    ['blksize', '1000'],
    ['windowsize', '8'],
  ])
  const result = await download({ host: HOST, port, filename: 'file', options, isLost, doublesAcks: true })
  t.ok('data' in result && result.data.equals(bytesOf(400_000)))
})

void t.test('block numbers roll over after 65,535', async (t) => {
  const { port } = await serve(t, { file: bytesOf(8 * 66_000) })
  const options = new Map([
    ['blksize', '8'],
    ['windowsize', '7'],
  ])
  const result = await download({ host: HOST, port, filename: 'file', options })
  t.ok('data' in result && result.data.equals(bytesOf(8 * 66_000)))
})

void t.test('500 transfers at once are all whole', async (t) => {
  const { port, server } = await serve(t, { file: bytesOf(15_000) }, { transfersPerClient: 500 })
  const options = new Map([
    ['blksize', '1468'],
    ['windowsize', '4'],
  ])
  const expected = bytesOf(15_000)
  const results = await Promise.all(
    Array.from({ length: 500 }, () => download({ host: HOST, port, filename: 'file', options })),
  )
  t.equal(results.filter((result) => 'data' in result && result.data.equals(expected)).length, 500)
  t.equal(server.counters.dropped, 0)
})

void t.test('a loader that arrived is a step of the boot', async (t) => {
  const { port, events } = await serve(t, { 'snponly.efi': 'loader' })
  await download({ host: HOST, port, filename: 'snponly.efi' })
  while (events.length === 0) await new Promise(setImmediate)
  const message = /^loader snponly\.efi sent: 6 bytes in \d+ ms, \d+\.\d MB\/s, 512 bytes a block, window 1$/
  t.match(events, [{ kind: 'tftp.sent', stage: 'loader', ip: HOST, message }])
})

void t.test('a virtual file is made for the client that asks and is no loader', async (t) => {
  const { port, events } = await serve(t, {})
  const result = await download({ host: HOST, port, filename: '/autoexec.ipxe' })
  t.equal('data' in result && result.data.toString(), 'for 127.0.0.1')
  t.same(events, [])
})

void t.test('paths that leave the directory and links out of it are not found', async (t) => {
  const { port, directory } = await serve(t, { inside: 'x' })
  symlinkSync('/etc/passwd', join(directory, 'link'))
  symlinkSync('/etc', join(directory, 'folder'))
  symlinkSync(join(directory, 'inside'), join(directory, 'good'))
  for (const filename of [
    '../../etc/passwd',
    'link',
    'folder/passwd',
    '..\\..\\etc\\passwd',
    '',
    '/',
    '.',
    'a\nb',
  ]) {
    t.match(await download({ host: HOST, port, filename }), { error: 1 }, JSON.stringify(filename))
  }
  for (const filename of ['good', '/inside', '\\inside', 'sub/../inside']) {
    t.match(await download({ host: HOST, port, filename }), { data: Buffer.from('x') }, filename)
  }
})

void t.test('a write request is refused, and only octet mode is served', async (t) => {
  const { port } = await serve(t, { file: 'x' })
  const socket = await peer(t)
  socket.send(encodeTftp({ op: 'wrq', filename: 'file', mode: 'octet', options: new Map() }), port, HOST)
  t.match(await answer(socket), { packet: { op: 'error', code: 2 } })
  socket.send(rrq('file', {}, 'mail'), port, HOST)
  t.match(await answer(socket), { packet: { op: 'error', code: 4 } })
})

void t.test(
  'the listening port is silent to ACK, DATA, ERROR, OACK and rubbish, and goes on serving',
  async (t) => {
    const { port, server } = await serve(t, { file: 'x' })
    const socket = await peer(t)
    let answers = 0
    socket.on('message', () => answers++)
    const hostile = [
      '',
      '\0',
      '\0\x01',
      '\0\x01a',
      '\0\x03\0\x01x',
      '\0\x04\0\0',
      '\0\x05\0\0x\0',
      '\0\x06a\0b\0',
      '\0\x09',
    ]
    for (const text of hostile) socket.send(Buffer.from(text, 'latin1'), port, HOST)
    const result = await download({ host: HOST, port, filename: 'file' })
    t.match(result, { data: Buffer.from('x') })
    t.equal(answers, 0)
    t.equal(server.counters.malformed + server.counters.dropped, hostile.length)
  },
)

void t.test(
  'bytes thrown at a transfer port, from its client or a stranger, do not disturb the transfer',
  async (t) => {
    const { port } = await serve(t, { file: bytesOf(1000) })
    const socket = await peer(t)
    const stranger = await peer(t)
    socket.send(rrq('file', { blksize: '600' }), port, HOST)
    const first = await answer(socket)
    t.equal(first.packet.op, 'oack')
    for (const text of ['', '\0', '\0\x05', '\0\x63ab', '\0\x04']) {
      socket.send(Buffer.from(text, 'latin1'), first.port, HOST)
    }
    stranger.send(encodeTftp({ op: 'error', code: 0, message: 'injected' }), first.port, HOST)
    socket.send(encodeTftp({ op: 'ack', block: 0 }), first.port, HOST)
    const second = await answer(socket)
    t.match(second.packet, { op: 'data', block: 1 })
    t.equal(second.port, first.port)
  },
)

void t.test('a size probe is normal: no event, and the second request is served', async (t) => {
  const { port, events } = await serve(t, { 'snponly.efi': bytesOf(3000) })
  const socket = await peer(t)
  socket.send(rrq('snponly.efi', { tsize: '0', blksize: '1468', windowsize: '4' }), port, HOST)
  const { packet, port: transferPort } = await answer(socket)
  t.same(packet.op === 'oack' && packet.options.get('tsize'), '3000')
  socket.send(encodeTftp({ op: 'error', code: 8, message: 'aborted' }), transferPort, HOST)
  const options = new Map([['windowsize', '4']])
  t.match(await download({ host: HOST, port, filename: 'snponly.efi', options }), { data: bytesOf(3000) })
  t.notMatch(events, [{ kind: 'tftp.failed' }])
})

void t.test('a client is kept to its number of transfers, and told of once', async (t) => {
  const { port, events, server } = await serve(t, { file: bytesOf(5000) }, { transfersPerClient: 2 })
  for (let i = 0; i < 4; i++) {
    const socket = await peer(t)
    socket.send(rrq('file'), port, HOST)
    if (i < 2) await answer(socket)
  }
  while (server.counters.dropped < 2) await new Promise(setImmediate)
  t.equal(events.filter((event) => event.kind === 'tftp.full').length, 1)
})

void t.test(
  'a repeated request is one transfer; another request from the same port starts anew',
  async (t) => {
    const { port, server } = await serve(t, { one: 'one', two: 'two' })
    const socket = await peer(t)
    socket.send(rrq('one'), port, HOST)
    const first = await answer(socket)
    socket.send(rrq('one'), port, HOST)
    socket.send(rrq('two'), port, HOST)
    const second = await answer(socket)
    t.not(second.port, first.port)
    t.equal(second.packet.op === 'data' && Buffer.from(second.packet.data).toString(), 'two')
    t.equal(server.counters.requests, 3)
  },
)

void t.test('a copy of a request that comes late does not disturb the transfer', async (t) => {
  const clock = new ManualClock()
  const { port, server } = await serve(t, { file: bytesOf(5000) }, {}, clock)
  const socket = await peer(t)
  const { port: transferPort } = await takeFirstWindow(socket, port)
  socket.send(rrq('file', { blksize: '1468' }), port, HOST)
  while (server.counters.requests < 2) await new Promise(setImmediate)
  t.match(await nextAfterAck(socket, transferPort, 1), { op: 'data', block: 2 })
  clock.advance(2500)
  const again = answer(socket)
  t.equal((await again).port, transferPort, 'a retransmission')
  socket.send(rrq('file', { blksize: '1468' }), port, HOST)
  const restarted = await answer(socket)
  t.equal(restarted.packet.op, 'oack', 'after a silence it is a machine that starts anew')
  t.not(restarted.port, transferPort)
})

void t.test('a silent client gets six retransmissions, then an ERROR', async (t) => {
  const clock = new ManualClock()
  const { port, events } = await serve(t, { file: 'x' }, {}, clock)
  const socket = await peer(t)
  socket.send(rrq('file'), port, HOST)
  t.match(await answer(socket), { packet: { op: 'data', block: 1 } })
  for (const seconds of [1, 2, 4, 8, 8, 8]) {
    const next = answer(socket)
    clock.advance(seconds * 1000 + 200)
    t.match(await next, { packet: { op: 'data', block: 1 } }, `after ${String(seconds)} s`)
  }
  const last = answer(socket)
  clock.advance(9000)
  t.match(await last, { packet: { op: 'error', code: 0 } })
  while (events.length === 0) await new Promise(setImmediate)
  t.match(events, [{ kind: 'tftp.failed', ip: HOST }])
})

void t.test(
  'start, stop and start again works, and a taken port is an error that leaves nothing open',
  async (t) => {
    const { server, port } = await serve(t, { file: 'x' })
    const second = await serve(t, { file: 'y' })
    await second.server.stop()
    await second.server.start(() => undefined)
    const other = new TftpServer({
      options: { address: HOST, port },
      files: new BootFiles({ directories: [] }),
      emit: () => undefined,
      clock: systemClock,
      log: pino({ level: 'silent' }),
    })
    await t.rejects(
      other.start(() => undefined),
      { code: 'EADDRINUSE' },
    )
    t.equal(server.port, port)
  },
)

void t.test('a name that clients do without is not found, without an event', async (t) => {
  const { port, events } = await serve(t, {})
  const socket = await peer(t)
  for (const name of ['shim_certificate_0.efi', 'other.efi']) {
    socket.send(rrq(name), port, HOST)
    const { packet } = await answer(socket)
    t.match(packet, { op: 'error', code: 1 })
  }
  t.same(
    events.map(({ message }) => message),
    ['no boot file other.efi in the loader directories'],
  )
})

/** Acknowledges the OACK of a transfer and takes the first window. */
async function takeFirstWindow(
  socket: Socket,
  port: number,
): Promise<{ blksize: string | undefined; port: number }> {
  socket.send(rrq('file', { blksize: '1468' }), port, HOST)
  const { packet, port: transferPort } = await answer(socket)
  const first = answer(socket)
  socket.send(encodeTftp({ op: 'ack', block: 0 }), transferPort, HOST)
  await first
  return { blksize: packet.op === 'oack' ? packet.options.get('blksize') : undefined, port: transferPort }
}

void t.test('a client that gets no block through is given smaller ones at its next try', async (t) => {
  const clock = new ManualClock()
  const { port, events } = await serve(t, { file: bytesOf(5000) }, { transfersPerClient: 1 }, clock)
  const granted: (string | undefined)[] = []
  for (let i = 0; i < 4; i++) {
    const socket = await peer(t)
    granted.push((await takeFirstWindow(socket, port)).blksize)
    const again = answer(socket)
    clock.advance(1200)
    await again
  }
  t.same(granted, ['1468', '1428', '1024', '512'], 'and the try before makes room for it')
  t.match(events, [
    {
      kind: 'tftp.smaller-blocks',
      ip: HOST,
      message: /^nothing came of file in blocks of 1468 bytes: .* 1428 /,
    },
  ])
})

void t.test('a client that takes data and then gives up is told of with its words', async (t) => {
  const { port, events } = await serve(t, { file: bytesOf(5000) })
  const socket = await peer(t)
  const { port: transferPort } = await takeFirstWindow(socket, port)
  const second = answer(socket)
  socket.send(encodeTftp({ op: 'ack', block: 1 }), transferPort, HOST)
  await second
  socket.send(encodeTftp({ op: 'error', code: 3, message: 'disk\x1b full' }), transferPort, HOST)
  while (events.length === 0) await new Promise(setImmediate)
  t.same(events, [
    {
      kind: 'tftp.failed',
      ip: HOST,
      message: 'transfer of file aborted after 1468 bytes, the client said: disk? full',
    },
  ])
  t.equal((await takeFirstWindow(await peer(t), port)).blksize, '1468', 'which is no matter of block sizes')
})

void t.test('a file that cannot be read on is an ERROR to the client, not silence', async (t) => {
  const { port, directory, events } = await serve(t, { file: bytesOf(200_000) })
  const socket = await peer(t)
  const { port: transferPort } = await takeFirstWindow(socket, port)
  truncateSync(join(directory, 'file'), 1000)
  let last = await nextAfterAck(socket, transferPort, 1)
  for (let block = 2; last.op === 'data'; block++) last = await nextAfterAck(socket, transferPort, block)
  t.match(last, { op: 'error', code: 0 })
  while (events.length === 0) await new Promise(setImmediate)
  t.match(events, [{ kind: 'tftp.failed', message: /^transfer of file read-failed after \d+ bytes$/ }])
})

async function nextAfterAck(socket: Socket, port: number, block: number): Promise<TftpPacket> {
  const next = answer(socket)
  socket.send(encodeTftp({ op: 'ack', block }), port, HOST)
  return (await next).packet
}
