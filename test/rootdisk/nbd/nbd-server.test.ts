import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { BlockError } from '../../../src/rootdisk/block-device.js'
import type { DaemonEvent } from '../../../src/events.js'
import { NbdServer, type NbdServerOptions } from '../../../src/rootdisk/nbd/nbd-server.js'
import { encodeContextQuery, encodeGo } from '../../../src/rootdisk/nbd/option-codec.js'
import { COMMAND, COMMAND_FLAG, NBD_ERROR, OPTION, REP } from '../../../src/rootdisk/nbd/protocol.js'
import { ManualClock } from '../../fakes/manual-clock.js'
import { systemClock } from '../../../src/clock.js'
import { NbdDevice } from '../../../src/rootdisk/nbd/client/nbd-device.js'
import { MemoryDisk } from '../../fakes/memory-disk.js'
import { RawClient } from './raw-client.js'
import { missing, openssl, run, serve, serverDeps, socketDir } from './served.js'

const MIB = 1 << 20
const { READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS } = COMMAND
const { FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO } = COMMAND_FLAG

async function attached(
  test: { teardown(fn: () => unknown): unknown },
  disk: MemoryDisk,
  isStructured = true,
): Promise<RawClient> {
  const { socketPath } = await serve(disk, test)
  const client = new RawClient(socketPath)
  test.teardown(() => client.socket.destroy())
  await client.go('disk', isStructured)
  return client
}

await t.test('every refusal has the error number that the protocol gives it', async (test) => {
  const client = await attached(test, new MemoryDisk(MIB))
  const cases: [what: string, error: number, type: number, offset: number, length: number, flags?: number][] =
    [
      ['read past the end', NBD_ERROR.EINVAL, READ, MIB - 1, 2],
      ['read at 2^63', NBD_ERROR.EINVAL, READ, 2 ** 63, 1],
      ['read of more than 32 MiB', NBD_ERROR.EINVAL, READ, 0, 33 * MIB],
      ['trim past the end', NBD_ERROR.ENOSPC, TRIM, MIB, 1],
      ['zeroes past the end', NBD_ERROR.ENOSPC, WRITE_ZEROES, 0, MIB + 1],
      ['slow zeroes for FAST_ZERO', NBD_ERROR.ENOTSUP, WRITE_ZEROES, 0, 4096, FAST_ZERO | NO_HOLE],
      ['unknown command', NBD_ERROR.EINVAL, 77, 0, 0],
      ['DF on a write of zeroes', NBD_ERROR.EINVAL, WRITE_ZEROES, 0, 1, DF],
      ['status of nothing', NBD_ERROR.EINVAL, BLOCK_STATUS, 0, 0],
      ['fast zeroes that leave a hole', 0, WRITE_ZEROES, 0, 4096, FAST_ZERO],
      ['read of nothing', 0, READ, 0, 0],
      ['cache', 0, CACHE, 0, MIB],
      ['flush', 0, FLUSH, 0, 0],
    ]
  for (const [what, error, type, offset, length, flags = 0] of cases) {
    test.equal((await client.ask(type, offset, length, { flags })).error, error, what)
  }
  const past = await client.ask(WRITE, MIB - 1, 2, { data: Buffer.alloc(2) })
  test.equal(past.error, NBD_ERROR.ENOSPC, 'write past the end; its data was skipped')
  test.equal((await client.ask(READ, 0, 512)).error, 0, 'the connection goes on')
})

await t.test('failures of the device are told by their number, and the device goes on', async (test) => {
  for (const isSlow of [false, true]) {
    const disk = new MemoryDisk(4 * MIB, { isSlow })
    for (const isStructured of [false, true]) {
      const client = await attached(test, disk, isStructured)
      const kinds: [BlockError['kind'], number][] = [
        ['no-space', NBD_ERROR.ENOSPC],
        ['medium', NBD_ERROR.EIO],
        ['read-only', NBD_ERROR.EPERM],
      ]
      for (const [kind, error] of kinds) {
        disk.failure = new BlockError(kind, 'as told')
        test.equal((await client.ask(WRITE, 0, 3, { data: Buffer.from('abc') })).error, error)
        test.equal((await client.ask(READ, 0, 4096)).error, error, 'a short read')
        test.equal((await client.ask(READ, 0, 3 * MIB)).error, error, 'a read of several pieces')
        test.equal((await client.ask(FLUSH, 0, 0)).error, error)
        disk.failure = undefined
        test.equal((await client.ask(WRITE, 0, 3, { data: Buffer.from('abc') })).error, 0)
      }
    }
  }
})

await t.test('a read-only disk refuses what writes, and nothing else', async (test) => {
  const client = await attached(test, new MemoryDisk(MIB, { isReadOnly: true }))
  for (const type of [TRIM, WRITE_ZEROES]) test.equal((await client.ask(type, 0, 1)).error, NBD_ERROR.EPERM)
  test.equal((await client.ask(WRITE, 0, 1, { data: Buffer.of(1) })).error, NBD_ERROR.EPERM)
  for (const type of [READ, FLUSH, CACHE, BLOCK_STATUS]) {
    test.equal((await client.ask(type, 0, type === FLUSH ? 0 : 1)).error, 0)
  }
})

await t.test(
  'reads give the bytes in simple replies, in one chunk for DF, and with holes otherwise',
  async (test) => {
    for (const isSlow of [false, true]) {
      const disk = new MemoryDisk(8 * MIB, { isSlow })
      disk.bytes.set(randomBytes(MIB), 0)
      disk.bytes.set(randomBytes(3 * MIB), 5 * MIB)
      const simple = await attached(test, disk, false)
      for (const length of [1, 4096, MIB, 8 * MIB]) {
        test.ok(
          (await simple.ask(READ, 0, length)).data.equals(disk.bytes.subarray(0, length)),
          `simple ${length}`,
        )
      }
      const structured = await attached(test, disk)
      const one = await structured.ask(READ, 0, 8 * MIB, { flags: DF })
      test.equal(one.chunks.length, 1)
      test.ok(one.chunks[0]?.payload.subarray(8).equals(disk.bytes))
      const many = await structured.ask(READ, 0, 8 * MIB)
      const seen = Buffer.alloc(8 * MIB, 0xff)
      for (const { type, payload } of many.chunks) {
        const at = Number(payload.readBigUInt64BE())
        if (type === 1) seen.set(payload.subarray(8), at)
        else seen.fill(0, at, at + payload.readUInt32BE(8))
      }
      test.ok(seen.equals(disk.bytes))
      test.ok(
        many.chunks.some(({ type }) => type === 2),
        'the hole came as a hole',
      )
      test.equal(many.chunks.filter(({ flags }) => flags === 1).length, 1)
    }
  },
)

await t.test(
  'block status covers a range from its start, and one extent when one is asked for',
  async (test) => {
    const disk = new MemoryDisk(8 * MIB)
    disk.bytes.fill(1, MIB, 2 * MIB)
    const client = await attached(test, disk)
    const extentsOf = async (offset: number, length: number, flags = 0): Promise<number[]> => {
      const { chunks } = await client.ask(BLOCK_STATUS, offset, length, { flags })
      const payload = chunks[0]?.payload ?? Buffer.alloc(0)
      return Array.from({ length: (payload.length - 4) / 4 }, (_, i) => payload.readUInt32BE(4 + i * 4))
    }
    test.same(await extentsOf(0, 8 * MIB), [MIB, 3, MIB, 0, 6 * MIB, 3])
    test.same(await extentsOf(MIB + 1, 100), [100, 0])
    test.same(await extentsOf(4096, 7 * MIB, REQ_ONE), [MIB - 4096, 3])
  },
)

await t.test('FUA flushes after the write, and before its reply', async (test) => {
  const disk = new MemoryDisk(MIB, { isSlow: true })
  const client = await attached(test, disk)
  await client.ask(WRITE, 0, 1, { data: Buffer.of(7) })
  test.equal(disk.flushes, 0)
  await client.ask(WRITE, 0, 1, { flags: FUA, data: Buffer.of(7) })
  test.equal(disk.flushes, 1)
  await client.ask(WRITE_ZEROES, 0, 1, { flags: FUA | NO_HOLE })
  test.equal(disk.flushes, 2)
  test.equal(disk.bytes[0], 0)
})

await t.test('a client that disconnects gets the answers that it waits for', async (test) => {
  const disk = new MemoryDisk(MIB, { isSlow: true })
  const client = await attached(test, disk)
  client.send(WRITE, 0, 4096, { data: Buffer.alloc(4096, 1) })
  client.send(READ, 0, 4096)
  client.send(DISC, 0, 0)
  test.equal((await client.reply()).error, 0)
  test.equal((await client.reply()).error, 0)
  test.equal(await client.take(1), undefined)
})

interface Listening {
  readonly server: NbdServer
  readonly clock: ManualClock
  readonly device: MemoryDisk
  /** Takes the export away. */
  readonly remove: () => void
  readonly events: DaemonEvent[]
}

async function listening(
  test: { teardown(fn: () => unknown): unknown },
  options: NbdServerOptions,
): Promise<Listening> {
  const [clock, events]: [ManualClock, DaemonEvent[]] = [new ManualClock(), []]
  const device = new MemoryDisk(MIB)
  const only = {
    id: 'disk',
    name: 'disk',
    description: '',
    open: () => Promise.resolve({ device, release: () => Promise.resolve() }),
  }
  let found: typeof only | undefined = only
  const exports = {
    find: (name: string) => (name === 'disk' ? found : undefined),
    list: () => (found === undefined ? [] : [found]),
  }
  const server = new NbdServer(options, { ...serverDeps(events), clock, exports })
  await server.start((cause) => {
    throw cause
  })
  test.teardown(() => server.stop())
  return { server, clock, device, events, remove: () => (found = undefined) }
}

/** A flush that lasts until told. */
function slowFlush(disk: MemoryDisk): { begun: Promise<void>; release: () => void } {
  let release = (): void => undefined
  const begun = new Promise<void>((resolve) => {
    disk.flush = () => {
      resolve()
      return new Promise((done) => (release = done))
    }
  })
  return { begun, release: () => release() }
}

await t.test('a stop answers what was begun and leaves the rest to be asked again', async (test) => {
  const disk = new MemoryDisk(MIB)
  const { server, socketPath } = await serve(disk, test)
  const client = new RawClient(socketPath)
  await client.go('disk', true)
  const flush = slowFlush(disk)
  client.send(FLUSH, 0, 0)
  await flush.begun
  const stopped = server.stop()
  client.send(READ, 0, 1)
  flush.release()
  test.equal((await client.reply()).error, 0)
  test.equal(await client.take(1), undefined, 'no error that a guest would be given')
  await stopped
  test.same(server.clients(), [])
})

await t.test('an export that is gone answers what was begun and refuses what comes', async (test) => {
  const socketPath = join(socketDir(test), 'nbd.sock')
  const { server, device, remove } = await listening(test, { socketPath })
  const client = new RawClient(socketPath)
  await client.go('disk', true)
  const flush = slowFlush(device)
  client.send(FLUSH, 0, 0)
  await flush.begun
  remove()
  const refreshed = server.refresh()
  test.equal((await client.ask(READ, 0, 1)).error, NBD_ERROR.ESHUTDOWN)
  flush.release()
  test.equal((await client.reply()).error, 0)
  test.equal(await client.take(1), undefined)
  await refreshed
})

await t.test('options out of order and unknown ones are answered, not feared', async (test) => {
  const { socketPath } = await serve(new MemoryDisk(MIB), test)
  const client = new RawClient(socketPath)
  test.teardown(() => client.socket.destroy())
  test.equal((await client.greet()).toString('hex'), '4e42444d41474943' + '49484156454f5054' + '0003')
  const answer = async (option: number, content?: Uint8Array): Promise<number | undefined> =>
    (await client.option(option, content)).at(-1)?.type
  test.equal(await answer(OPTION.SET_META_CONTEXT, encodeContextQuery('disk', [])), REP.ERR_INVALID)
  test.equal(await answer(99, Buffer.alloc(1000)), REP.ERR_UNSUP)
  test.equal(await answer(OPTION.STARTTLS), REP.ERR_POLICY)
  test.equal(await answer(OPTION.LIST, Buffer.of(1)), REP.ERR_INVALID)
  test.equal(await answer(OPTION.GO, encodeGo('none', [])), REP.ERR_UNKNOWN)
  test.equal(await answer(OPTION.GO, Buffer.of(0, 0, 9)), REP.ERR_INVALID)
  test.equal(await answer(OPTION.STRUCTURED_REPLY), REP.ACK)
  test.equal(await answer(OPTION.INFO, encodeGo('disk', [1, 2])), REP.ACK)
  test.equal((await client.option(OPTION.LIST_META_CONTEXT, encodeContextQuery('disk', []))).length, 2)
  test.equal((await client.option(OPTION.SET_META_CONTEXT, encodeContextQuery('disk', ['qemu:x']))).length, 1)
  test.equal(await answer(OPTION.GO, encodeGo('disk', [])), REP.ACK)
  test.equal((await client.ask(BLOCK_STATUS, 0, 4096)).error, NBD_ERROR.EINVAL, 'no context was selected')
})

await t.test('the old way to name an export works, with and without its zeros', async (test) => {
  const { socketPath } = await serve(new MemoryDisk(MIB), test)
  for (const [flags, zeros] of [
    [3, 0],
    [1, 124],
  ] as const) {
    const client = new RawClient(socketPath)
    test.teardown(() => client.socket.destroy())
    await client.greet(flags)
    client.socket.write(
      Buffer.concat([Buffer.from('49484156454f5054' + '0000000100000004', 'hex'), Buffer.from('disk')]),
    )
    const answer = await client.need(10 + zeros)
    test.equal(answer.readBigUInt64BE(), BigInt(MIB))
    test.equal((await client.ask(READ, 0, 16)).data.length, 16)
  }
})

await t.test('what breaks the protocol ends its connection with one event', async (test) => {
  const broken: [what: string, bytes: Buffer, isAttached: boolean][] = [
    ['no client of ours', Buffer.from('GET / HTTP/1.1\r\n\r\n'), false],
    ['an option too long', Buffer.from('00000003' + '49484156454f5054' + '00000007ffffffff', 'hex'), false],
    [
      'a flood before the handshake is over',
      Buffer.concat([Buffer.of(0, 0, 0, 3), Buffer.alloc(600_000)]),
      false,
    ],
    ['requests with another magic', Buffer.alloc(28, 1), true],
  ]
  for (const [what, bytes, isAttached] of broken) {
    const { socketPath, events } = await serve(new MemoryDisk(MIB), test)
    const client = new RawClient(socketPath)
    if (isAttached) await client.go('disk', true)
    else await client.need(18)
    client.socket.write(bytes)
    test.equal(await client.take(1), undefined, what)
    test.equal(events.filter(({ kind }) => kind === 'nbd.protocol-error').length, 1, what)
  }
})

await t.test('who does not negotiate in time is let go', async (test) => {
  const socketPath = join(socketDir(test), 'nbd.sock')
  const { clock, events } = await listening(test, { socketPath })
  const client = new RawClient(socketPath)
  await client.greet()
  clock.advance(15_000)
  test.equal(await client.take(1), undefined)
  test.match(events, [{ kind: 'nbd.protocol-error', message: /too long/ }])
})

await t.test('connections beyond the limit are closed at once', async (test) => {
  const socketPath = join(socketDir(test), 'nbd.sock')
  await listening(test, { socketPath, maxConnections: 1 })
  const first = new RawClient(socketPath)
  await first.go('disk', true)
  test.equal(await new RawClient(socketPath).take(1), undefined)
  first.socket.destroy()
})

await t.test(
  'with TLS nothing is said in clear, and clients prove who they are',
  { skip: missing('openssl') },
  async (test) => {
    const dir = socketDir(test)
    const subject = (name: string): string[] => ['-subj', `/CN=${name}`, '-days', '2']
    openssl(
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-keyout',
        'ca-key.pem',
        '-out',
        'ca-cert.pem',
        ...subject('ca'),
      ],
      dir,
    )
    for (const who of ['server', 'client']) {
      openssl(
        [
          'req',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:P-256',
          '-nodes',
          '-keyout',
          `${who}-key.pem`,
          '-out',
          `${who}.csr`,
          ...subject('localhost').slice(0, 2),
          '-addext',
          'subjectAltName=DNS:localhost,IP:127.0.0.1',
        ],
        dir,
      )
      openssl(
        [
          'x509',
          '-req',
          '-in',
          `${who}.csr`,
          '-CA',
          'ca-cert.pem',
          '-CAkey',
          'ca-key.pem',
          '-CAcreateserial',
          '-copy_extensions',
          'copy',
          '-days',
          '2',
          '-out',
          `${who}-cert.pem`,
        ],
        dir,
      )
    }
    const pem = (name: string): string => readFileSync(join(dir, name), 'utf8')
    const tls = {
      certificate: pem('server-cert.pem'),
      key: pem('server-key.pem'),
      clientCa: pem('ca-cert.pem'),
    }
    const { server, device, events } = await listening(test, { tcp: { host: '127.0.0.1', port: 0, tls } })

    await test.test('options in clear are refused until then', async (inner) => {
      const socket = connect({ host: '127.0.0.1', port: server.port })
      const bytes: Buffer[] = []
      socket.on('data', (chunk: Buffer) => bytes.push(chunk)).on('error', () => undefined)
      await once(socket, 'data')
      socket.write(
        Buffer.concat([Buffer.of(0, 0, 0, 3), Buffer.from('49484156454f5054' + '0000000300000000', 'hex')]),
      )
      await once(socket, 'data')
      inner.equal(Buffer.concat(bytes).readUInt32BE(18 + 12), REP.ERR_TLS_REQD)
      socket.destroy()
    })

    await test.test('a client without a certificate of the CA is refused', async (inner) => {
      const socket = connect({ host: '127.0.0.1', port: server.port })
      await once(socket, 'data')
      socket.write(
        Buffer.concat([Buffer.of(0, 0, 0, 3), Buffer.from('49484156454f5054' + '0000000500000000', 'hex')]),
      )
      await once(socket, 'data')
      const secured = connectTls({ socket, ca: tls.clientCa, servername: 'localhost' })
      await new Promise<void>((resolve) => secured.on('error', () => undefined).on('close', () => resolve()))
      inner.equal(server.clients().length, 0)
    })

    await test.test(
      'nbdcopy reads over TLS with its certificate',
      { skip: missing('nbdcopy') },
      async (inner) => {
        const uri = `nbds://127.0.0.1:${server.port}/disk?tls-certificates=${dir}`
        const { status, output } = await run('nbdcopy', [uri, `${dir}/copy.raw`])
        inner.equal(status, 0, output)
        inner.equal(readFileSync(`${dir}/copy.raw`).length, MIB)
        inner.ok(events.some(({ kind, ip }) => kind === 'nbd.attached' && ip === '127.0.0.1'))
      },
    )

    await test.test('our own client attaches over TLS, and not without its certificate', async (inner) => {
      const location = { server: { host: '127.0.0.1', port: server.port }, exportName: 'disk' }
      const trust = { ca: tls.clientCa, servername: 'localhost' }
      const mine = { ...trust, cert: pem('client-cert.pem'), key: pem('client-key.pem') }
      const remote = await NbdDevice.open({ ...location, tls: mine }, systemClock)
      await remote.write(5, Buffer.from('over TLS'))
      inner.equal(device.bytes.subarray(5, 13).toString(), 'over TLS')
      await remote.close()
      await inner.rejects(NbdDevice.open({ ...location, tls: trust }, systemClock))
      await inner.rejects(NbdDevice.open(location, systemClock), { name: 'NbdRefused', message: /TLS/ })
    })
  },
)
