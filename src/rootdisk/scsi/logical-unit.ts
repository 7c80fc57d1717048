import type { BlockDevice } from '../block-device.js'
import type { SenseCode } from './sense.js'

/** Bytes of a logical block, the unit of every LBA. */
export const BLOCK_BYTES = 512
/** Logical blocks in a physical block (4096 bytes), as a power of two (SBC-3 §5.13.2). */
export const BLOCKS_PER_PHYSICAL_EXPONENT = 3
/** Largest transfer of one command, in blocks (4 MiB), told in VPD page B0h. */
export const MAX_TRANSFER_BLOCKS = 8192
/** Largest UNMAP or WRITE SAME of one command, in blocks (512 MiB and 4 MiB). */
export const MAX_UNMAP_BLOCKS = 1_048_576
export const MAX_WRITE_SAME_BLOCKS = 8192
/** Largest number of UNMAP descriptors in one command. */
export const MAX_UNMAP_DESCRIPTORS = 256

/** Largest COMPARE AND WRITE, in blocks. */
export const MAX_COMPARE_BLOCKS = 128

/** One LUN with its open device. */
export class LogicalUnit {
  readonly lun: number
  readonly serial: string
  /** 8 or 16 bytes, NAA designator (SPC-4 §7.8.6.6). */
  readonly naa: Uint8Array
  readonly device: BlockDevice
  #turn: Promise<void> | undefined

  constructor(identity: { lun: number; serial: string; naa: string }, device: BlockDevice) {
    this.lun = identity.lun
    this.serial = identity.serial
    this.naa = naaBytes(identity.naa)
    this.device = device
  }

  /** Whole logical blocks of the device. */
  get blockCount(): number {
    return Math.floor(this.device.sizeBytes / BLOCK_BYTES)
  }

  /**
   * Runs `work` after every earlier such call has ended: what reads and then writes on what it read.
   * With a device that answers at once nothing ever waits.
   */
  inTurn<T>(work: () => T | Promise<T>): T | Promise<T> {
    const before = this.#turn
    const outcome = before === undefined ? work() : before.then(work)
    if (!(outcome instanceof Promise)) return outcome
    const turn: Promise<void> = outcome
      .then(nothing, nothing)
      .then(() => (this.#turn === turn ? (this.#turn = undefined) : undefined))
    this.#turn = turn
    return outcome
  }

  /** Whether the range lies inside the device. */
  hasRange(lba: number, blocks: number): boolean {
    return lba + blocks <= this.blockCount
  }
}

/**
 * What a target keeps per initiator session (I_T nexus, SAM-5 §4.7): unit attention conditions not told yet.
 * `hasAttention` lets the fast path skip the look-up.
 */
export class Nexus {
  hasAttention = false
  readonly #pending = new Map<number, SenseCode[]>()

  /** Establishes a unit attention for `lun`; one of a kind is kept. */
  raise(lun: number, code: SenseCode): void {
    const codes = this.#pending.get(lun) ?? []
    if (!codes.includes(code)) codes.push(code)
    this.#pending.set(lun, codes)
    this.hasAttention = true
  }

  /** The oldest unit attention of `lun`, cleared by telling it (SAM-5 §5.14). */
  take(lun: number): SenseCode | undefined {
    const codes = this.#pending.get(lun)
    const code = codes?.shift()
    if (codes?.length === 0) this.#pending.delete(lun)
    this.hasAttention = this.#pending.size > 0
    return code
  }
}

function nothing(): void {
  // only the end of the turn matters
}

function naaBytes(hex: string): Uint8Array {
  const bytes = Uint8Array.from(Buffer.from(hex.padEnd(16, '0'), 'hex'))
  const size = bytes.length >= 16 ? 16 : 8
  const type = (bytes[0] ?? 0) >> 4
  // 3: locally assigned, 8 bytes; 6: IEEE registered extended, 16 bytes. Others of that size pass as they are.
  const isValid = size === 16 ? type === 6 : type === 2 || type === 3 || type === 5
  if (!isValid) bytes[0] = ((size === 16 ? 6 : 3) << 4) | ((bytes[0] ?? 0) & 0x0f)
  return bytes.subarray(0, size)
}
