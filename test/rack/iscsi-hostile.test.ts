import { connect, type Socket } from 'node:net'
import pino from 'pino'
import t from 'tap'
import { systemClock } from '../../src/clock.js'
import type { TargetSpec } from '../../src/rootdisk/export.js'
import { IscsiPortal } from '../../src/rootdisk/iscsi/portal.js'
import { Initiator, loginPdu } from '../fakes/initiator.js'
import { MemoryDisk } from '../fakes/memory-disk.js'
import { mutatedSession, recordedSessions } from '../fakes/recorded-sessions.js'

const IQN = 'iqn.2026-01.example:good'
const HOST = 'iqn.2026-01.example:host'
/** Another server: what is reserved or reset on the first one's disk is none of its business. */
const OTHER_IQN = 'iqn.2026-01.example:other'
const OTHER_HOST = 'iqn.2026-01.example:other-host'
const READ_8 = [0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0]
/** A million mutated PDUs in the long run. */
const STREAMS = process.env['INGOT_FULL'] === undefined ? 500 : 25_000
const PDUS_PER_STREAM = 40
const HALF_OPEN = 2000
/** Of its speed alone; the short run shares its machine with other tests, so there the speed is told, not judged. */
const LEAST_SPEED = process.env['INGOT_FULL'] === undefined ? 0 : 0.8

/** Park and Miller's generator: the same mutations in every run. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 48271) % 2147483647
    return state % below
  }
}

/** The best of many short runs: what else goes on on the machine shows in the others. */
async function bestSpeed(initiator: Initiator): Promise<number> {
  let best = 0
  for (let i = 0; i < 64; i++) best = Math.max(best, await speed(initiator, 60))
  return best
}

/** Reads per millisecond of a good session over `count` reads. */
async function speed(initiator: Initiator, count: number): Promise<number> {
  const from = performance.now()
  for (let i = 0; i < count; i++) {
    if ((await initiator.run(0, READ_8, { flags: 0xc1, edtl: 4096 })).status !== 0)
      throw new Error('a read failed')
  }
  return count / (performance.now() - from)
}

function specOf(iqn: string, initiatorIqn: string, naa: string): TargetSpec {
  const disk = new MemoryDisk(1 << 20)
  const luns = [{ lun: 0, naa, serial: naa, open: () => Promise.resolve(disk) }]
  return { iqn, initiatorIqn, chap: undefined, luns }
}

async function serve(loginTimeoutMs = 15_000): Promise<{ portal: IscsiPortal; kinds: string[] }> {
  const targets = [specOf(IQN, HOST, '3000000000000001'), specOf(OTHER_IQN, OTHER_HOST, '3000000000000002')]
  const kinds: string[] = []
  const portal = new IscsiPortal(
    {
      host: '127.0.0.1',
      port: 0,
      maxConnectionsPerAddress: 1000,
      maxLogins: 200,
      drainMs: 0,
      loginTimeoutMs,
    },
    {
      targets: { find: (iqn) => targets.find((target) => target.iqn === iqn), list: () => targets },
      emit: ({ kind }) => kinds.push(kind),
      clock: systemClock,
      log: pino({ level: 'silent' }),
    },
  )
  await portal.start((cause) => {
    throw cause
  })
  t.teardown(() => portal.stop())
  return { portal, kinds }
}

async function good(portal: IscsiPortal, isid: number, iqn = IQN, host = HOST): Promise<Initiator> {
  const initiator = new Initiator(portal.port)
  t.teardown(() => {
    initiator.close()
  })
  const status = await initiator.openSession(iqn, host, ['MaxRecvDataSegmentLength=262144'], isid)
  if (status !== 0) throw new Error(`login status ${String(status)}`)
  await initiator.run(0, [0, 0, 0, 0, 0, 0], { flags: 0x81 })
  return initiator
}

function send(port: number, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.end(bytes))
    socket.setTimeout(500, () => socket.destroy())
    socket
      .resume()
      .on('error', () => socket.destroy())
      .on('close', () => resolve())
  })
}

await t.test(
  `${String(HALF_OPEN)} half-open logins: a good session keeps its speed, a new one gets in`,
  async (test) => {
    const { portal, kinds } = await serve()
    const first = await good(portal, 1)
    await speed(first, 2000)
    const alone = await bestSpeed(first)
    const sockets: Socket[] = []
    for (let i = 0; i < HALF_OPEN; i++) {
      const socket = connect(portal.port, '127.0.0.1', () => socket.write(Buffer.of(0x43)))
      sockets.push(socket.on('error', () => socket.destroy()))
      if (i % 100 === 0) await speed(first, 1)
    }
    const crowded = await bestSpeed(first)
    test.ok(crowded > LEAST_SPEED * alone, `${(crowded / alone).toFixed(2)} of its speed`)
    await good(portal, 2)
    test.equal(kinds.filter((kind) => kind === 'iscsi.crowded').length, 1, 'told once')
    for (const socket of sockets) socket.destroy()
  },
)

await t.test(
  `${String(STREAMS * PDUS_PER_STREAM)} mutated PDUs of recorded sessions: memory returns, another server’s session is served`,
  async (test) => {
    const { portal } = await serve()
    const first = await good(portal, 1, OTHER_IQN, OTHER_HOST)
    const random = randomFrom(5)
    const seeds = recordedSessions('fixtures/iscsi')
    const stream = (): Buffer => {
      const seed = seeds[random(seeds.length)]
      return seed === undefined ? Buffer.alloc(0) : mutatedSession(seed, PDUS_PER_STREAM, random)
    }
    const flood = async (count: number): Promise<void> => {
      let left = count
      const worker = async (): Promise<void> => {
        while (left-- > 0) await send(portal.port, stream())
      }
      await Promise.all(Array.from({ length: 8 }, worker))
    }
    await flood(STREAMS / 2)
    const before = process.memoryUsage().rss
    await flood(STREAMS / 2)
    const grown = (process.memoryUsage().rss - before) / 2 ** 20
    test.ok(grown < 64, `${grown.toFixed(0)} MiB more after the second half`)
    test.ok((await speed(first, 100)) > 0)
  },
)

await t.test(
  'a login that comes byte by byte is cut off in its time, and meanwhile others work',
  async (test) => {
    const { portal, kinds } = await serve(200)
    const first = await good(portal, 1)
    const login = loginPdu(`InitiatorName=${HOST}\0TargetName=${IQN}\0`, { flags: 0x87, isid: 88 })
    let sentBytes = 0
    const slow = Array.from({ length: 50 }, () => {
      const socket = connect(portal.port, '127.0.0.1')
      const ended = new Promise<void>((resolve) => socket.on('close', () => resolve()))
      let at = 0
      const feed = setInterval(() => {
        socket.write(login.subarray(at, ++at))
        sentBytes++
      }, 10)
      socket.resume().on('error', () => socket.destroy())
      return ended.then(() => clearInterval(feed))
    })
    while (sentBytes < 100) await speed(first, 1)
    await Promise.all(slow)
    test.ok(sentBytes < 50 * login.length, 'none of them got to its end')
    test.ok((await speed(first, 100)) > 0)
    test.equal(kinds.filter((kind) => kind === 'iscsi.login-failed').length, 50, 'one event each')
  },
)
