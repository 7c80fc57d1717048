import { MalformedPacket } from '../../wire/malformed-packet.js'
import type { ByteQueue } from './byte-queue.js'
import type { NbdDirectory, NbdExport, OpenExport } from './export-directory.js'
import {
  decodeClientFlags,
  decodeOption,
  decodeOptionHeader,
  encodeBlockSizes,
  encodeContext,
  encodeExportInfo,
  encodeGreeting,
  encodeInfoText,
  encodeOptionReply,
  encodeServerReply,
  OPTION_HEADER_BYTES,
  type Option,
} from './option-codec.js'
import {
  BASE_ALLOCATION,
  BASE_ALLOCATION_ID,
  EXPORT_FLAG,
  INFO,
  MAX_PAYLOAD_BYTES,
  OPTION,
  REP,
} from './protocol.js'

/** What the smallest honest request costs us nothing for: the cluster of our volumes. */
const PREFERRED_BLOCK_BYTES = 4096
/** Between EXPORT_NAME's flags and the transmission phase, unless NO_ZEROES. */
const EXPORT_NAME_ZEROES = 124

/** The client's side of a connection while it negotiates. */
export interface HandshakeChannel {
  readonly received: ByteQueue
  send(bytes: Uint8Array): void
  /** Absent where TLS is not offered; else nothing but STARTTLS is answered before. */
  readonly startTls: (() => Promise<void>) | undefined
}

/** What was agreed on; the connection releases it. */
export interface Agreement extends OpenExport {
  readonly export: NbdExport
  readonly isStructured: boolean
  readonly hasAllocation: boolean
}

/** Talks with one client from the greeting to the transmission phase (doc/proto.md "Handshake phase"). */
export class Negotiation {
  readonly #channel: HandshakeChannel
  readonly #exports: NbdDirectory
  #isTlsDue: boolean
  #hasNoZeroes = false
  #isStructured = false
  /** The export whose allocation context was selected. */
  #allocationOf: string | undefined
  #option = 0

  constructor(channel: HandshakeChannel, exports: NbdDirectory) {
    this.#channel = channel
    this.#exports = exports
    this.#isTlsDue = channel.startTls !== undefined
  }

  /**
   * Runs until the client may send requests; undefined when it only asked and went away.
   * @throws MalformedPacket, or what the queue of received bytes was ended with
   */
  async run(): Promise<Agreement | undefined> {
    const { received } = this.#channel
    this.#channel.send(encodeGreeting())
    this.#hasNoZeroes = decodeClientFlags(await received.take(4)).hasNoZeroes
    for (;;) {
      const { option, length } = decodeOptionHeader(await received.take(OPTION_HEADER_BYTES))
      this.#option = option
      const content = await received.take(length)
      const asked = this.#decode(content)
      if (asked === undefined) continue
      if (asked.kind === 'abort') {
        this.#reply(REP.ACK)
        return undefined
      }
      const agreement = await this.#answer(asked)
      if (agreement !== undefined) return agreement
    }
  }

  /** A broken content is the client's mistake in one option; only EXPORT_NAME has no way to say so. */
  #decode(content: Uint8Array): Option | undefined {
    try {
      return decodeOption(this.#option, content)
    } catch (err) {
      if (!(err instanceof MalformedPacket) || this.#option === OPTION.EXPORT_NAME) throw err
      this.#reply(REP.ERR_INVALID, err.message)
      return undefined
    }
  }

  async #answer(asked: Exclude<Option, { kind: 'abort' }>): Promise<Agreement | undefined> {
    if (this.#isTlsDue && asked.kind !== 'starttls') this.#refusePlain(asked)
    else if (asked.kind === 'export-name') return this.#exportName(asked.name)
    else if (asked.kind === 'go') return this.#go(asked)
    else await this.#tell(asked)
    return undefined
  }

  async #tell(asked: Exclude<Option, { kind: 'abort' | 'go' | 'export-name' }>): Promise<void> {
    switch (asked.kind) {
      case 'starttls':
        await this.#startTls()
        break
      case 'info':
        await (await this.#go(asked))?.release()
        break
      case 'structured-reply':
        this.#isStructured = true
        this.#reply(REP.ACK)
        break
      case 'list':
        this.#list()
        break
      case 'list-contexts':
      case 'set-contexts':
        this.#contexts(asked)
        break
      case 'unknown':
        this.#reply(REP.ERR_UNSUP)
    }
  }

  #refusePlain(asked: Option): void {
    if (asked.kind === 'export-name') throw new MalformedPacket('NBD option 1', 0, 'TLS must come first')
    this.#reply(REP.ERR_TLS_REQD, 'TLS must come first')
  }

  async #startTls(): Promise<void> {
    const { startTls, received } = this.#channel
    if (startTls === undefined) this.#reply(REP.ERR_POLICY, 'TLS is not offered here')
    else if (!this.#isTlsDue) this.#reply(REP.ERR_INVALID, 'TLS is on already')
    else {
      // Bytes that came in clear behind STARTTLS would pass for encrypted ones.
      if (received.length > 0) throw new MalformedPacket('NBD option 5', 0, 'bytes follow before TLS')
      this.#reply(REP.ACK)
      await startTls()
      this.#isTlsDue = false
    }
  }

  #list(): void {
    for (const { name, description } of this.#exports.list()) {
      this.#channel.send(encodeServerReply(name, description))
    }
    this.#reply(REP.ACK)
  }

  async #exportName(name: string): Promise<Agreement> {
    const found = this.#exports.find(name)
    if (found === undefined) throw new MalformedPacket('NBD option 1', 0, `no export is named "${name}"`)
    const agreement = await this.#open(found)
    // No reply header here: the block of INFO_EXPORT without its kind.
    this.#channel.send(encodeExportInfo(agreement.device.sizeBytes, flagsOf(agreement)).subarray(2))
    if (!this.#hasNoZeroes) this.#channel.send(new Uint8Array(EXPORT_NAME_ZEROES))
    return agreement
  }

  async #go({ name, wants }: Extract<Option, { kind: 'go' | 'info' }>): Promise<Agreement | undefined> {
    const found = this.#find(name)
    if (found === undefined) return undefined
    let agreement: Agreement
    try {
      agreement = await this.#open(found)
    } catch (err) {
      this.#reply(REP.ERR_SHUTDOWN, err instanceof Error ? err.message : String(err))
      return undefined
    }
    this.#reply(REP.INFO, encodeExportInfo(agreement.device.sizeBytes, flagsOf(agreement)))
    this.#reply(REP.INFO, encodeBlockSizes(1, PREFERRED_BLOCK_BYTES, MAX_PAYLOAD_BYTES))
    const texts: [kind: number, text: string][] = [
      [INFO.NAME, found.name],
      [INFO.DESCRIPTION, found.description],
    ]
    for (const [kind, text] of texts) {
      if (wants.includes(kind)) this.#reply(REP.INFO, encodeInfoText(kind, text))
    }
    this.#reply(REP.ACK)
    return agreement
  }

  /** The export of that name; the client was told when there is none. */
  #find(name: string): NbdExport | undefined {
    const found = this.#exports.find(name)
    if (found === undefined) this.#reply(REP.ERR_UNKNOWN, `no export is named "${name}"`)
    return found
  }

  async #open(found: NbdExport): Promise<Agreement> {
    return {
      ...(await found.open()),
      export: found,
      isStructured: this.#isStructured,
      hasAllocation: this.#isStructured && this.#allocationOf === found.name,
    }
  }

  #contexts({ kind, name, queries }: Extract<Option, { kind: 'list-contexts' | 'set-contexts' }>): void {
    const isSet = kind === 'set-contexts'
    if (isSet) this.#allocationOf = undefined
    if (!this.#isStructured) {
      this.#reply(REP.ERR_INVALID, 'structured replies must come first')
      return
    }
    const found = this.#find(name)
    if (found === undefined) return
    // A list may be asked for all of a namespace, or for everything.
    const isListed = !isSet && (queries.length === 0 || queries.includes('base:'))
    if (isListed || queries.includes(BASE_ALLOCATION)) {
      if (isSet) this.#allocationOf = found.name
      this.#reply(REP.META_CONTEXT, encodeContext(isSet ? BASE_ALLOCATION_ID : 0, BASE_ALLOCATION))
    }
    this.#reply(REP.ACK)
  }

  #reply(type: number, content: Uint8Array | string = ''): void {
    this.#channel.send(encodeOptionReply(this.#option, type, content))
  }
}

function flagsOf({ device, isStructured }: Agreement): number {
  const { READ_ONLY, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES, SEND_FAST_ZERO } = EXPORT_FLAG
  const { HAS_FLAGS, SEND_FLUSH, SEND_DF, CAN_MULTI_CONN, SEND_CACHE } = EXPORT_FLAG
  const writes = SEND_FUA | SEND_TRIM | SEND_WRITE_ZEROES | SEND_FAST_ZERO
  // A flush of a device covers what any client of it was told is written: that is what CAN_MULTI_CONN promises.
  const always = HAS_FLAGS | SEND_FLUSH | CAN_MULTI_CONN | SEND_CACHE
  return always | (device.isReadOnly ? READ_ONLY : writes) | (isStructured ? SEND_DF : 0)
}
