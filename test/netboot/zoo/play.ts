import type { ClientFile, Step } from './client-file.js'
import { askedBy, bootFileOf, playDhcp } from './dhcp-step.js'
import { playHttp } from './http-step.js'
import { isLike } from './matching.js'
import { Stand } from './stand.js'
import { playTftp } from './tftp-step.js'

const FIRST_TFTP_PORT = 2070

/** What the client remembers from step to step. */
interface Memory {
  /** The boot file of the last reply that had one: `$boot` in later steps. */
  boot: string
  /** The address given last: `$ip`. */
  ip: string
  count: number
}

/** Plays a client against the daemon's boot services. @returns what went wrong, a sentence each */
export async function playClient(client: ClientFile): Promise<string[]> {
  const stand = await Stand.open(client)
  const memory: Memory = { boot: '', ip: '198.18.0.99', count: 0 }
  const wrong: string[] = []
  try {
    for (const [index, step] of client.step.entries()) {
      memory.count = index
      const found = await playStep(stand, client, step, memory)
      const name = `step ${String(index + 1)}${step.say === undefined ? '' : ` (${step.say})`}`
      wrong.push(...found.map((problem) => `${name}: ${problem}`))
    }
    wrong.push(...stand.errors.map((line) => `logged: ${line.trim()}`))
  } finally {
    await stand.close()
  }
  return wrong
}

async function playStep(stand: Stand, client: ClientFile, step: Step, memory: Memory): Promise<string[]> {
  stand.events.length = 0
  try {
    const wrong = await act(stand, client, step, memory)
    return [...wrong, ...wrongEvents(stand, step)]
  } catch (err) {
    return [err instanceof Error ? err.message : String(err)]
  }
}

async function act(stand: Stand, client: ClientFile, step: Step, memory: Memory): Promise<string[]> {
  if ('wait_seconds' in step) {
    stand.advance(step.wait_seconds * 1000)
    return []
  }
  const filled = fillIn(step, memory)
  if ('dhcp' in filled) {
    const { wrong, reply } = await playDhcp(stand, askedBy(stand, filled.dhcp, client, memory.count), filled)
    if (reply !== undefined && reply.yiaddr !== '0.0.0.0') memory.ip = reply.yiaddr
    if (reply !== undefined) memory.boot = bootFileOf(reply) || memory.boot
    return wrong
  }
  if ('tftp' in filled) {
    const port = FIRST_TFTP_PORT + memory.count
    return playTftp(stand, filled.tftp, filled, { address: memory.ip, port })
  }
  return 'http' in filled ? playHttp(stand, filled.http, filled.gets) : []
}

/** `$boot` and `$ip` in any text of a step. */
function fillIn<S extends Step>(step: S, { boot, ip }: Memory): S {
  const text = JSON.stringify(step, (_key, value: unknown) =>
    typeof value === 'string' ? value.replaceAll('$boot', boot).replaceAll('$ip', ip) : value,
  )
  return JSON.parse(text) as S // the same shape: only texts were changed
}

function wrongEvents(stand: Stand, { events = [], no_events: unwanted = [] }: Step): string[] {
  const kinds = stand.events.map(({ kind }) => kind)
  const told = kinds.length === 0 ? 'none' : kinds.join(', ')
  return [
    ...events
      .filter((wanted) => !kinds.some((kind) => isLike(kind, wanted)))
      .map((wanted) => `no event ${wanted} (got ${told})`),
    ...unwanted.filter((one) => kinds.some((kind) => isLike(kind, one))).map((one) => `an event ${one}`),
  ]
}
