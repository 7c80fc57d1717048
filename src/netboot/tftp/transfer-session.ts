import { createSocket, type Socket } from 'node:dgram'
import type { Clock } from '../../clock.js'
import { systemCode } from '../../errors.js'
import { MalformedPacket } from '../../wire/malformed-packet.js'
import type { BootFile } from '../boot-files.js'
import type { Negotiated } from './negotiate.js'
import {
  ackedBlock,
  DATA_HEADER_BYTES,
  decodeTftp,
  encodeTftp,
  TFTP_ERROR,
  writeData,
  type TftpPacket,
} from './packet.js'
import {
  onAck,
  onPeerError,
  onPeerGone,
  onTime,
  startTransfer,
  type Transfer,
  type TransferOutcome,
  type TransferStep,
} from './transfer.js'

/** How a session ended: a transfer's own ends, our disk's fault, or our decision. */
export type SessionOutcome = TransferOutcome | 'read-failed' | 'cancelled'

/** The end of a session: `words` are the client's own, of its ERROR; `cause` is ours. */
export interface SessionEnd {
  readonly outcome: SessionOutcome
  readonly words?: string
  readonly cause?: unknown
}

/** What a session is made of. It owns `file` and closes it. */
export interface TransferSessionDeps {
  /** The address the client asked, which it must be answered from. */
  readonly address: string
  readonly peer: { readonly address: string; readonly port: number }
  readonly file: BootFile
  readonly negotiated: Negotiated
  readonly clock: Clock
  /** Called once, after the socket is closed. */
  readonly onEnd: (end: SessionEnd) => void
}

/** A full queue in the kernel is a lost packet, which the protocol heals. */
const LOSS: ReadonlySet<string | undefined> = new Set(['EAGAIN', 'ENOBUFS', 'ENOMEM'])

/** A client that is with us answers each window at once, and a lost one within its own time-out: a second, mostly. */
const GIVEN_UP_MS = 2000

/** One file on its way to one client, on a socket of its own that is connected to the client's port (the TID). */
export class TransferSession {
  readonly #deps: TransferSessionDeps
  readonly #socket: Socket = createSocket('udp4')
  #transfer: Transfer
  #packets: Buffer | undefined
  /** Grows with each order to send; a read that comes back to an older one is dropped. */
  #order = 0
  #heardMs: number | undefined
  #isOver = false
  #peerWords: string | undefined

  constructor(deps: TransferSessionDeps) {
    this.#deps = deps
    this.#transfer = this.#firstStep().transfer
  }

  /** Whether the client goes on with it, as far as can be known: it spoke lately, or has not yet had to. */
  isHeeded(nowMs: number): boolean {
    return this.#heardMs === undefined || nowMs - this.#heardMs < GIVEN_UP_MS
  }

  /** What the client was granted. */
  get negotiated(): Negotiated {
    return this.#deps.negotiated
  }

  /** Bytes that the client has for sure. */
  get ackedBytes(): number {
    return Math.min(this.#transfer.ackedBlock * this.negotiated.blksize, this.#deps.file.sizeBytes)
  }

  /** Whether data was sent twice at least and nothing of it acknowledged. */
  get isStuck(): boolean {
    const { phase, ackedBlock, tries } = this.#transfer
    return phase === 'data' && ackedBlock === 0 && tries > 0
  }

  /** Binds, connects, and sends the first packet. */
  start(): void {
    const { address, peer } = this.#deps
    this.#socket.on('error', (err) => this.#onSocketError(err))
    this.#socket.on('message', (bytes) => this.#onMessage(bytes))
    this.#socket.bind({ address, port: 0, exclusive: true }, () => {
      if (this.#isOver) return
      this.#socket.connect(peer.port, peer.address, () => {
        if (!this.#isOver) this.#take(this.#firstStep())
      })
    })
  }

  /** Lets time-outs happen. */
  tick(nowMs: number): void {
    this.#take(onTime(this.#transfer, nowMs))
  }

  /** Ends the transfer without a word to the client. */
  cancel(): void {
    this.#end({ outcome: 'cancelled' })
  }

  #firstStep(): TransferStep {
    const { negotiated, file, clock } = this.#deps
    const { timeoutMs } = negotiated
    return startTransfer(
      {
        sizeBytes: file.sizeBytes,
        blksize: negotiated.blksize,
        windowsize: negotiated.windowsize,
        hasOack: negotiated.accepted.size > 0,
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
      },
      clock.monotonicMs(),
    )
  }

  #onMessage(bytes: Uint8Array): void {
    if (this.#isOver) return
    const block = ackedBlock(bytes)
    if (block !== undefined) {
      const nowMs = this.#deps.clock.monotonicMs()
      this.#heardMs = nowMs
      this.#take(onAck(this.#transfer, block, nowMs))
      return
    }
    try {
      this.#onOtherPacket(decodeTftp(bytes))
    } catch (err) {
      if (!(err instanceof MalformedPacket)) throw err
      // dropped: the connected socket got it from the client's port, and a retransmission will do
    }
  }

  #onOtherPacket(packet: TftpPacket): void {
    this.#heardMs = this.#deps.clock.monotonicMs()
    if (packet.op !== 'error') return
    this.#peerWords = packet.message
    this.#take(onPeerError(this.#transfer))
  }

  #onSocketError(err: Error): void {
    const code = systemCode(err)
    if (this.#isOver || LOSS.has(code)) return
    if (code === 'ECONNREFUSED') this.#take(onPeerGone(this.#transfer))
    else this.#end({ outcome: 'aborted', cause: err })
  }

  #take({ transfer, action }: TransferStep): void {
    if (this.#isOver) return
    this.#transfer = transfer
    switch (action.do) {
      case 'nothing':
        return
      case 'send-oack':
        this.#socket.send(encodeTftp({ op: 'oack', options: this.#deps.negotiated.accepted }))
        return
      case 'send-blocks':
        this.#sendBlocks(action.first, action.last)
        return
      case 'end':
        this.#finish(action.outcome)
    }
  }

  #sendBlocks(first: number, last: number): void {
    const { file, negotiated } = this.#deps
    const order = ++this.#order
    const bytes = file.read((first - 1) * negotiated.blksize, (last - first + 1) * negotiated.blksize)
    if (bytes instanceof Uint8Array) {
      this.#sendWindow(first, last, bytes)
      return
    }
    bytes.then(
      (read) => {
        if (order === this.#order && !this.#isOver) this.#sendWindow(first, last, read)
      },
      (err: unknown) => this.#endWithError('the file cannot be read', { outcome: 'read-failed', cause: err }),
    )
  }

  #sendWindow(first: number, last: number, bytes: Uint8Array): void {
    const { blksize } = this.#deps.negotiated
    const packets = this.#packetRoom()
    let start = 0
    for (let block = first; block <= last; block++) {
      const at = (block - first) * blksize
      const end = writeData(packets, start, block, bytes.subarray(at, at + blksize))
      this.#socket.send(packets, start, end - start)
      start = end
    }
  }

  /** Room for a window of packets, the same each time unless the kernel has not taken all that is in it. */
  #packetRoom(): Buffer {
    if (this.#packets === undefined || this.#socket.getSendQueueCount() > 0) {
      const { blksize, windowsize } = this.#deps.negotiated
      this.#packets = Buffer.allocUnsafe(windowsize * (DATA_HEADER_BYTES + blksize))
    }
    return this.#packets
  }

  #finish(outcome: TransferOutcome): void {
    if (outcome === 'timed-out') this.#endWithError('no answer from the client', { outcome })
    else this.#end(this.#peerWords === undefined ? { outcome } : { outcome, words: this.#peerWords })
  }

  #endWithError(message: string, end: SessionEnd): void {
    if (this.#isOver) return
    this.#isOver = true
    const error = encodeTftp({ op: 'error', code: TFTP_ERROR.NOT_DEFINED, message })
    this.#socket.send(error, () => this.#close(end))
  }

  #end(end: SessionEnd): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#close(end)
  }

  #close(end: SessionEnd): void {
    const { file, onEnd } = this.#deps
    this.#socket.close(() => {
      file.close().then(
        () => onEnd(end),
        (err: unknown) => onEnd({ cause: err, ...end }),
      )
    })
  }
}
