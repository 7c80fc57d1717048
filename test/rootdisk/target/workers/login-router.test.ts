import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { DaemonEvent } from '../../../../src/events.js'
import { LoginRouter } from '../../../../src/rootdisk/target/workers/login-router.js'
import { systemClock } from '../../../../src/clock.js'
import { commandPdu, Initiator, loginPdu } from '../../../fakes/initiator.js'
import { bench as served, HOST, IQN } from '../../iscsi/bench.js'
import { ManualClock } from '../../../fakes/manual-clock.js'

interface Handed {
  readonly targetName: string | undefined
  readonly socket: Socket
  readonly received: Buffer
}

interface Bench {
  readonly clock: ManualClock
  readonly events: DaemonEvent[]
  /** The next connection that is handed over. */
  readonly next: () => Promise<Handed>
  readonly client: () => Promise<Socket>
}

async function bench(t: Test, refusal?: string): Promise<Bench> {
  const clock = new ManualClock()
  const events: DaemonEvent[] = []
  const handed: Handed[] = []
  let wake: () => void = () => undefined
  const router = new LoginRouter(
    { host: '127.0.0.1', port: 0 },
    {
      clock,
      emit: (event) => events.push(event),
      hand: ({ targetName }, socket, received) => {
        if (refusal !== undefined) return Promise.reject(new Error(refusal))
        handed.push({ targetName, socket, received })
        wake()
        return Promise.resolve()
      },
    },
  )
  await router.start((cause) => {
    throw cause
  })
  t.teardown(() => router.stop())
  const next = async (): Promise<Handed> => {
    for (;;) {
      const first = handed.shift()
      if (first !== undefined) return first
      await new Promise<void>((resolve) => (wake = resolve))
    }
  }
  const client = async (): Promise<Socket> => {
    const socket = connect(router.port, '127.0.0.1')
      .on('error', () => undefined)
      .setNoDelay(true)
    t.teardown(() => void socket.destroy())
    await once(socket, 'connect')
    return socket
  }
  return { clock, events, next, client }
}

const LOGIN = loginPdu('InitiatorName=iqn.2026-01.example:a\0TargetName=iqn.2026-01.example:b\0', {
  flags: 0x81,
})

void t.test('a login that comes in pieces is handed over whole', async (t) => {
  const { next, client } = await bench(t)
  const socket = await client()
  for (const [from, to] of [
    [0, 10],
    [10, 48],
    [48, 60],
    [60, LOGIN.length],
  ])
    await new Promise((resolve) => socket.write(LOGIN.subarray(from, to), resolve))
  const { targetName, received, socket: ours } = await next()
  t.equal(targetName, 'iqn.2026-01.example:b')
  t.same(received, LOGIN)
  ours.destroy()
})

void t.test('a portal goes on where the router stopped, with what came behind the login too', async (t) => {
  const { portal, disk } = await served(t)
  const router = new LoginRouter(
    { host: '127.0.0.1', port: 0 },
    {
      clock: systemClock,
      emit: () => undefined,
      hand: (_login, socket, received) => {
        portal.take(socket, received)
        return Promise.resolve()
      },
    },
  )
  await router.start((cause) => {
    throw cause
  })
  t.teardown(() => router.stop())
  disk.bytes.fill(7, 0, 512)
  const initiator = new Initiator(router.port)
  t.teardown(() => {
    initiator.close()
  })
  const login = loginPdu(`InitiatorName=${HOST}\0TargetName=${IQN}\0SessionType=Normal\0`, { flags: 0x87 })
  const ready = commandPdu({ lun: 0, cdb: [0, 0, 0, 0, 0, 0], itt: 77, cmdSn: 1, flags: 0x81, edtl: 0 })
  initiator.send(Buffer.concat([login, ready]))
  t.equal((await initiator.receive())?.header.readUInt16BE(36), 0, 'logged in')
  t.equal((await initiator.receive())?.header.readUInt32BE(16), 77, 'the command behind it is answered')
  initiator.cmdSn = 2
  const read = await initiator.run(0, [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], { flags: 0xc1, edtl: 512 })
  t.same(read.data, Buffer.alloc(512, 7))
})

void t.test('what is no login is told and closed', async (t) => {
  const { events, client } = await bench(t)
  const socket = await client()
  socket.end('GET / HTTP/1.1\r\nHost: nobody.example\r\nAccept: everything\r\n\r\n')
  await once(socket.resume(), 'close')
  t.match(events, [{ kind: 'iscsi.protocol-error', ip: '127.0.0.1' }])
})

void t.test('a login that does not come is given up after 15 seconds', async (t) => {
  const { clock, events, client } = await bench(t)
  const socket = await client()
  const other = await client() // accepted in order: the first one is there now
  await new Promise((resolve) => other.write(LOGIN.subarray(0, 20), resolve))
  await new Promise((resolve) => setImmediate(resolve))
  clock.advance(15_000)
  await once(socket.resume(), 'close')
  t.match(events[0], { kind: 'iscsi.login-failed', message: /took too long/ })
})

void t.test('a login that nobody takes is told and closed', async (t) => {
  const { events, client } = await bench(t, 'a worker does not come up')
  const socket = await client()
  socket.write(LOGIN)
  await once(socket.resume(), 'close')
  t.match(events, [{ kind: 'iscsi.login-failed', message: /does not come up/ }])
})

void t.test('one address has 256 connections that are not handed over, and no more', async (t) => {
  const { events, client, next } = await bench(t)
  const flood = await Promise.all(Array.from({ length: 256 }, () => client()))
  const late = await client()
  await once(late.resume(), 'close')
  t.match(events, [{ kind: 'iscsi.crowded', ip: '127.0.0.1' }])
  const [honest] = flood
  honest?.write(LOGIN)
  const { targetName, socket } = await next()
  t.equal(targetName, 'iqn.2026-01.example:b', 'those that were let in are served')
  socket.destroy()
})
