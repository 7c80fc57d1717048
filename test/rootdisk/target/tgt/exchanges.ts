import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** One recorded conversation of tgtadm with tgtd. */
export interface Exchange {
  readonly tgtadm: string
  readonly request: Buffer
  readonly reply: Buffer
}

const FILE = join(import.meta.dirname, '../../../../fixtures/tgt/exchanges.json')

/** Every recorded conversation, in order. */
export const EXCHANGES: readonly Exchange[] = (
  JSON.parse(readFileSync(FILE, 'utf8')) as { tgtadm: string; request: string; reply: string }[]
).map(({ tgtadm, request, reply }) => ({
  tgtadm,
  request: Buffer.from(request, 'hex'),
  reply: Buffer.from(reply, 'hex'),
}))

/** What tgtd answered to command lines that end so, in order. */
export function repliesTo(end: string): Buffer[] {
  return EXCHANGES.filter(({ tgtadm }) => tgtadm.endsWith(end)).map(({ reply }) => reply)
}
