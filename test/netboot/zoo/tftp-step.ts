import { readFileSync } from 'node:fs'
import type { Datagram, Endpoint } from '../../fakes/pretend-network.js'
import type { TftpGets, TftpSend } from './client-file.js'
import { isLike, problems, wrongValue } from './matching.js'
import { contentOf, type Stand } from './stand.js'

const RECORDED = 'fixtures/tftp'
const DATA = 3
const ERROR = 5
const OACK = 6
const OPTION_REFUSED = 8
const DEFAULT_BLOCK = 512

interface Dialogue {
  readonly stand: Stand
  readonly client: Endpoint
  readonly segment: string | undefined
}

/** What the client has seen at the end. */
interface Outcome {
  readonly oack: Readonly<Record<string, string>> | undefined
  readonly error: number | undefined
  readonly data: Buffer
  readonly block: number
}

/** Sends a read request, goes on as `send.then` says, and says what is wrong with what came. */
export async function playTftp(
  stand: Stand,
  send: TftpSend,
  wanted: { readonly gets: TftpGets } | { readonly silence: string },
  client: Endpoint,
): Promise<string[]> {
  const to = endpoint(send.to ?? `${stand.address}:69`)
  const dialogue = {
    stand,
    client: send.from === undefined ? client : endpoint(send.from),
    segment: send.segment,
  }
  const before = 'silence' in wanted ? stand.counted(wanted.silence) : 0
  for (let count = send.twice === true ? 2 : 1; count > 0; count--)
    stand.inject({ from: dialogue.client, to, bytes: requestOf(send), segment: send.segment })
  if ('silence' in wanted) {
    const isSilent = await stand.hasNothingFor(dialogue.client.address, dialogue.client.port)
    return problems(
      isSilent ? undefined : 'answered, expected silence',
      stand.counted(wanted.silence) > before ? undefined : `silent, but not counted as ${wanted.silence}`,
    )
  }
  const outcome = await follow(dialogue, to.address, send)
  return wrongOutcome(stand, outcome, send, wanted.gets)
}

function requestOf(send: TftpSend): Buffer {
  if (send.recorded !== undefined) {
    return Buffer.from(readFileSync(`${RECORDED}/${send.recorded}.hex`, 'latin1').trim(), 'hex')
  }
  if (send.hex !== undefined) return Buffer.from(send.hex, 'hex')
  const words = [send.file ?? '', send.mode ?? 'octet', ...Object.entries(send.options ?? {}).flat()]
  return Buffer.concat([Buffer.of(0, 1), Buffer.from(words.map((word) => `${word}\0`).join(''), 'latin1')])
}

/** RFC 7440 §4: a window is acknowledged at its end, or at the end of the file. */
async function follow(dialogue: Dialogue, server: string, send: TftpSend): Promise<Outcome> {
  const first = await answer(dialogue)
  if (first.from.address !== server) throw new Error(`the answer comes from ${first.from.address}`)
  const none = { oack: undefined, error: undefined, data: Buffer.alloc(0), block: 0 }
  if (opcode(first) === ERROR) return { ...none, error: first.bytes.readUInt16BE(2) }
  if (first.from.port === 69) throw new Error('a transfer from port 69')
  const oack = opcode(first) === OACK ? optionsOf(first.bytes) : undefined
  if (send.then === 'abort') {
    reply(
      dialogue,
      first,
      Buffer.concat([Buffer.of(0, ERROR, 0, OPTION_REFUSED), Buffer.from('User aborted\0')]),
    )
    return { ...none, oack }
  }
  const blocks = await fetch(dialogue, first, oack)
  return { oack, error: undefined, data: Buffer.concat(blocks), block: blocks[0]?.length ?? 0 }
}

async function fetch(
  dialogue: Dialogue,
  first: Datagram,
  oack: Readonly<Record<string, string>> | undefined,
): Promise<Buffer[]> {
  const [size, window] = [Number(oack?.['blksize'] ?? DEFAULT_BLOCK), Number(oack?.['windowsize'] ?? 1)]
  const blocks: Buffer[] = []
  let datagram = first
  if (oack !== undefined) {
    reply(dialogue, first, ack(0))
    datagram = await answer(dialogue)
  }
  for (;;) {
    const number = blocks.length + 1
    if (opcode(datagram) !== DATA || datagram.bytes.readUInt16BE(2) !== (number & 0xffff))
      throw new Error(`expected block ${String(number)}, got 0x${datagram.bytes.toString('hex', 0, 4)}`)
    if (datagram.from.port !== first.from.port) throw new Error('the transfer changed its port')
    const block = datagram.bytes.subarray(4)
    blocks.push(block)
    const isLast = block.length < size
    if (isLast || number % window === 0) reply(dialogue, first, ack(number))
    if (isLast) return blocks
    datagram = await answer(dialogue)
  }
}

async function answer({ stand, client }: Dialogue): Promise<Datagram> {
  const datagram = await stand.next(client.address, client.port)
  if (datagram === undefined) throw new Error('no answer')
  return datagram
}

function reply({ stand, client, segment }: Dialogue, { from }: Datagram, bytes: Buffer): void {
  stand.network.inject({ from: client, to: from, bytes, segment: segment ?? stand.segment })
}

function ack(block: number): Buffer {
  return Buffer.of(0, 4, (block >>> 8) & 0xff, block & 0xff)
}

function opcode({ bytes }: Datagram): number {
  return bytes.readUInt16BE(0)
}

function optionsOf(bytes: Buffer): Record<string, string> {
  const words = bytes.toString('latin1', 2).split('\0').slice(0, -1)
  const pairs = words.flatMap((word, index) => (index % 2 === 0 ? [[word, words[index + 1] ?? '']] : []))
  return Object.fromEntries(pairs) as Record<string, string> // of pairs of texts
}

function wrongOutcome(stand: Stand, outcome: Outcome, send: TftpSend, gets: TftpGets): string[] {
  const { oack, error, data, block } = outcome
  const isUnexpected = error !== undefined && gets.error === undefined
  const content = gets.content === undefined ? undefined : contentOf(stand, gets.content)
  const isWhole = content === undefined || send.then === 'abort' || data.equals(content)
  return problems(
    isUnexpected ? `TFTP error ${String(error)}` : wrongValue('the error', error ?? -1, gets.error),
    ...wrongOack(oack, gets.oack),
    wrongValue('the full block', block, gets.block),
    isWhole ? undefined : `${String(data.length)} bytes that are not ${String(gets.content)}`,
    gets.text === undefined || isLike(data.toString('utf8'), gets.text)
      ? undefined
      : `the text ${JSON.stringify(data.toString('utf8').slice(0, 200))}`,
  )
}

function wrongOack(got: Outcome['oack'], wanted: TftpGets['oack']): (string | undefined)[] {
  if (wanted === undefined) return []
  if (wanted === false || got === undefined)
    return [wanted === false && got === undefined ? undefined : `OACK ${JSON.stringify(got)}`]
  const names = new Set([...Object.keys(got), ...Object.keys(wanted)])
  return [...names].map((name) =>
    wrongValue(`OACK's ${name}`, got[name] ?? 'absent', wanted[name] ?? 'absent'),
  )
}

function endpoint(text: string): Endpoint {
  const [address = '', port] = text.split(':')
  return { address, port: Number(port) }
}
