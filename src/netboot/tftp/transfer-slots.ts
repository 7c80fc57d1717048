import type { TransferSession } from './transfer-session.js'

/** One client's request from its RRQ to the end of its transfer. */
export interface TransferSlot {
  /** `ip:port` of the client. */
  readonly key: string
  readonly ip: string
  readonly filename: string
  /** The file and the options, to know the same request by. */
  readonly wish: string
  readonly sinceMs: number
  /** Undefined while the file is being opened. */
  session: TransferSession | undefined
  isCancelled: boolean
}

/** How many transfers there may be. */
export interface SlotLimits {
  readonly perClient: number
  readonly inTotal: number
}

/** The transfers of a server, counted per client. */
export class TransferSlots {
  readonly #limits: SlotLimits
  readonly #slots = new Map<string, TransferSlot>()
  readonly #slotsByIp = new Map<string, Set<TransferSlot>>()

  constructor(limits: SlotLimits) {
    this.#limits = limits
  }

  get size(): number {
    return this.#slots.size
  }

  get(key: string): TransferSlot | undefined {
    return this.#slots.get(key)
  }

  all(): TransferSlot[] {
    return [...this.#slots.values()]
  }

  ofClient(ip: string): TransferSlot[] {
    return [...(this.#slotsByIp.get(ip) ?? [])]
  }

  /** Which limit keeps `ip` from another transfer, in words, or undefined. */
  fullReason(ip: string): string | undefined {
    const { perClient, inTotal } = this.#limits
    if ((this.#slotsByIp.get(ip)?.size ?? 0) >= perClient) return `${perClient} for one client`
    return this.#slots.size >= inTotal ? `${inTotal} in total` : undefined
  }

  add(slot: TransferSlot): void {
    this.#slots.set(slot.key, slot)
    const ofClient = this.#slotsByIp.get(slot.ip)
    if (ofClient === undefined) this.#slotsByIp.set(slot.ip, new Set([slot]))
    else ofClient.add(slot)
  }

  /** Harmless when the slot was released before. */
  release(slot: TransferSlot): void {
    if (this.#slots.get(slot.key) !== slot) return
    this.#slots.delete(slot.key)
    const ofClient = this.#slotsByIp.get(slot.ip)
    ofClient?.delete(slot)
    if (ofClient?.size === 0) this.#slotsByIp.delete(slot.ip)
  }

  /** Releases the slot and ends what it was doing. */
  cancel(slot: TransferSlot): void {
    slot.isCancelled = true
    this.release(slot)
    slot.session?.cancel()
  }
}
