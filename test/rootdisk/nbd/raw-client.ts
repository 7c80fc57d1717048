import { connect, type Socket } from 'node:net'
import {
  decodeOptionReply,
  encodeContextQuery,
  encodeGo,
  encodeOption,
} from '../../../src/rootdisk/nbd/option-codec.js'
import { OPTION } from '../../../src/rootdisk/nbd/protocol.js'

/** One reply to a request: errno and, of a structured one, the types and contents of its chunks. */
export interface RawReply {
  readonly error: number
  readonly data: Buffer
  readonly chunks: readonly { readonly type: number; readonly flags: number; readonly payload: Buffer }[]
}

/** A client that says exactly what a test tells it to. Requests are made one at a time. */
export class RawClient {
  readonly socket: Socket
  #bytes = Buffer.alloc(0)
  #chunks: Buffer[] = []
  #length = 0
  #isEnded = false
  #wake: (() => void) | undefined
  #cookie = 0

  constructor(socketPath: string) {
    this.socket = connect({ path: socketPath })
    this.socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk)
      this.#length += chunk.length
      this.#wake?.()
    })
    this.socket
      .on('error', () => undefined)
      .on('close', () => {
        this.#isEnded = true
        this.#wake?.()
      })
  }

  /** The next `count` bytes; undefined when the server closed instead. */
  async take(count: number): Promise<Buffer | undefined> {
    while (this.#length < count) {
      if (this.#isEnded) return undefined
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    this.#bytes = Buffer.concat([this.#bytes, ...this.#chunks])
    this.#chunks = []
    this.#length -= count
    const taken = this.#bytes.subarray(0, count)
    this.#bytes = this.#bytes.subarray(count)
    return taken
  }

  /** Takes exactly `count` bytes. */
  async need(count: number): Promise<Buffer> {
    const taken = await this.take(count)
    if (taken === undefined) throw new Error('the server closed')
    return taken
  }

  /** Reads the greeting and sends the client's flags. */
  async greet(flags = 3): Promise<Buffer> {
    const greeting = await this.need(18)
    this.socket.write(Buffer.of(0, 0, 0, flags))
    return greeting
  }

  /** Sends an option; its replies up to the last. */
  async option(
    option: number,
    content: Uint8Array = new Uint8Array(),
  ): Promise<{ type: number; content: Buffer }[]> {
    this.socket.write(encodeOption(option, content))
    const replies: { type: number; content: Buffer }[] = []
    for (;;) {
      const { type, length } = decodeOptionReply(await this.need(20))
      replies.push({ type, content: await this.need(length) })
      if (type === 1 || type >= 0x80000000) return replies
    }
  }

  /** From greeting to transmission phase. */
  async go(name: string, isStructured: boolean): Promise<void> {
    await this.greet()
    if (isStructured) {
      await this.option(OPTION.STRUCTURED_REPLY)
      await this.option(OPTION.SET_META_CONTEXT, encodeContextQuery(name, ['base:allocation']))
    }
    const replies = await this.option(OPTION.GO, encodeGo(name, []))
    if (replies.at(-1)?.type !== 1) throw new Error('GO was refused')
  }

  /** Sends a request; returns its cookie. */
  send(type: number, offset: number, length: number, more: { flags?: number; data?: Buffer } = {}): number {
    const header = Buffer.alloc(28)
    header.writeUInt32BE(0x25609513, 0)
    header.writeUInt16BE(more.flags ?? 0, 4)
    header.writeUInt16BE(type, 6)
    header.writeUInt32BE(++this.#cookie, 12)
    header.writeBigUInt64BE(BigInt(offset), 16)
    header.writeUInt32BE(length, 24)
    this.socket.write(more.data === undefined ? header : Buffer.concat([header, more.data]))
    return this.#cookie
  }

  /** The next reply; `dataBytes` follow a simple reply without error. */
  async reply(dataBytes = 0): Promise<RawReply> {
    const chunks: RawReply['chunks'][number][] = []
    for (;;) {
      const magic = (await this.need(4)).readUInt32BE()
      if (magic === 0x67446698) {
        const error = (await this.need(12)).readUInt32BE(0)
        return { error, data: error === 0 ? await this.need(dataBytes) : Buffer.alloc(0), chunks }
      }
      if (magic !== 0x668e33ef) throw new Error(`reply with magic ${magic.toString(16)}`)
      const header = await this.need(16)
      const [flags, type] = [header.readUInt16BE(0), header.readUInt16BE(2)]
      chunks.push({ flags, type, payload: await this.need(header.readUInt32BE(12)) })
      if ((flags & 1) === 0) continue
      const failed = chunks.find((chunk) => chunk.type >= 0x8000)
      return { error: failed?.payload.readUInt32BE() ?? 0, data: Buffer.alloc(0), chunks }
    }
  }

  /** Sends a request and takes its reply. */
  async ask(
    type: number,
    offset: number,
    length: number,
    more: { flags?: number; data?: Buffer } = {},
  ): Promise<RawReply> {
    this.send(type, offset, length, more)
    return this.reply(type === 0 ? length : 0)
  }
}
