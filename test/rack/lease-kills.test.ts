import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { LeaseClients } from './lease-clients.js'

// SIGKILL of a DHCP server under load, at points drawn by INGOT_SEED; INGOT_KILLS of them.
const isFull = process.env['INGOT_FULL'] !== undefined
const KILLS = Number(process.env['INGOT_KILLS'] ?? (isFull ? 200 : 10))
const SEED = Number(process.env['INGOT_SEED'] ?? 1)
const MOST_ACKS = 300
const SERVER = join(import.meta.dirname, '../../dist/test/rack/lease-server.js')

t.setTimeout(isFull ? 3_600_000 : 120_000)

/** Numbers in 0..1 that are the same for the same seed (Lehmer's generator, MINSTD). */
function randomFrom(seed: number): () => number {
  let state = (seed % 2_147_483_646) + 1
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647
}

interface Started {
  readonly child: ChildProcess
  readonly ipOfMac: ReadonlyMap<string, string>
}

async function start(stateDir: string, port: number): Promise<Started> {
  const argv = [SERVER, stateDir, String(port)]
  const child = spawn(process.execPath, argv, { stdio: ['pipe', 'pipe', 'inherit'] })
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  const leases = JSON.parse(line) as [ip: string, mac: string][]
  return { child, ipOfMac: new Map(leases.map(([ip, mac]) => [mac, ip])) }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

function lost(promised: ReadonlyMap<string, string>, known: ReadonlyMap<string, string>): string[] {
  return [...promised].filter(([mac, ip]) => known.get(mac) !== ip).map((pair) => pair.join(' '))
}

void t.test(
  `SIGKILL under load, ${String(KILLS)} times: no acknowledged lease is lost or given twice`,
  async (t) => {
    const random = randomFrom(SEED)
    const stateDir = join(t.testdir(), 'state')
    mkdirSync(stateDir)
    const { clients, port } = await LeaseClients.open()
    let started = await start(stateDir, port)
    t.teardown(() => {
      clients.close()
      started.child.kill('SIGKILL')
    })
    let lostCount = 0
    for (let kill = 0; kill < KILLS; kill++) {
      await clients.run(1 + Math.floor(random() * MOST_ACKS))
      started.child.kill('SIGKILL')
      await ended(started.child)
      clients.forget()
      started = await start(stateDir, port)
      const missing = lost(clients.ipOfMac, started.ipOfMac)
      lostCount += missing.length
      if (missing.length > 0) t.comment(missing)
    }
    t.equal(lostCount, 0, `${String(clients.acks)} ACKs, ${String(clients.ipOfMac.size)} leases held`)
    t.same(clients.givenTwice, [])
    started.child.stdin?.end()
    await ended(started.child)
    started = await start(stateDir, port)
    t.same(lost(clients.ipOfMac, started.ipOfMac), [], 'nor by a clean stop')
  },
)
