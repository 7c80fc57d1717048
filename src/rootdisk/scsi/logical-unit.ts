import type { BlockDevice } from '../block-device.js'
import type { Nexus } from './nexus.js'
import {
  memoryReservations,
  NO_RESERVATIONS,
  type ReservationState,
  type ReservationStore,
} from './reservation-state.js'

/** Bytes of a logical block, the unit of every LBA. */
export const BLOCK_BYTES = 512
/** Largest transfer of one command, in blocks (4 MiB), told in VPD page B0h. */
export const MAX_TRANSFER_BLOCKS = 8192
/** Largest UNMAP or WRITE SAME of one command, in blocks (512 MiB and 4 MiB). */
export const MAX_UNMAP_BLOCKS = 1_048_576
export const MAX_WRITE_SAME_BLOCKS = 8192
/** Largest number of UNMAP descriptors in one command. */
export const MAX_UNMAP_DESCRIPTORS = 256

/** WRITE ATOMIC: one cluster (4096 bytes), which the volume never leaves half written; also its alignment. */
export const MAX_ATOMIC_BLOCKS = 8

/** Largest COMPARE AND WRITE, in blocks. */
export const MAX_COMPARE_BLOCKS = 128

/** What a LUN is called, and what it says of its medium. */
export interface UnitIdentity {
  readonly lun: number
  readonly serial: string
  /** 16 or 32 hex digits. */
  readonly naa: string
  /** 512 or 4096, told in READ CAPACITY(16); default 4096, a cluster of a volume. */
  readonly physicalBlockBytes?: number
}

/** What MODE SELECT may change; back to this at a reset (SPC-4 §7.5, SBC-3 §6.5). */
const DEFAULT_MODES = { hasWriteCache: true, isSoftwareProtected: false, hasDescriptorSense: false }

/** How far an EXTENDED COPY came. */
export interface CopyStatus {
  isFailed: boolean
  segments: number
  bytes: number
}

/** A name of the LUN in VPD page 83h (SPC-4 §7.8.6). */
export interface Designator {
  /** 1 T10 vendor identification, 3 NAA. */
  readonly type: number
  readonly bytes: Uint8Array
}

/** VENDOR IDENTIFICATION of every LUN, 8 characters. */
export const VENDOR = 'INGOT   '

/** One LUN with its open device and all that initiators can set about it. */
export class LogicalUnit {
  readonly lun: number
  readonly serial: string
  readonly designators: readonly Designator[]
  /** Logical blocks in a physical block, as a power of two (SBC-3 §5.16.2). */
  readonly physicalExponent: number
  readonly device: BlockDevice
  /** Somebody may be kept out: the fast path leaves it to the way all commands take. */
  isRestricted = false
  modes = { ...DEFAULT_MODES }
  /** Copies that RECEIVE COPY STATUS may be asked about, by list identifier. */
  readonly copies = new Map<number, CopyStatus>()
  readonly #storeId: string
  #reserver: Nexus | undefined
  #isSanitizing = false
  #reservations: ReservationState = NO_RESERVATIONS
  readonly #store: ReservationStore
  #turn: Promise<void> | undefined

  /** @param store keeps persistent reservations; without one they end with this object */
  constructor(identity: UnitIdentity, device: BlockDevice, store: ReservationStore = memoryReservations()) {
    this.lun = identity.lun
    this.serial = identity.serial
    const naa = naaBytes(identity.naa)
    this.#storeId = Buffer.from(naa).toString('hex')
    this.designators = [
      { type: 3, bytes: naa },
      { type: 1, bytes: Buffer.from(VENDOR + identity.serial, 'latin1') },
    ]
    this.physicalExponent = Math.log2((identity.physicalBlockBytes ?? 4096) / BLOCK_BYTES)
    this.device = device
    this.#store = store
  }

  /** Whole logical blocks of the device. */
  get blockCount(): number {
    return Math.floor(this.device.sizeBytes / BLOCK_BYTES)
  }

  /** The session that holds it by RESERVE(6) or (10). */
  get reserver(): Nexus | undefined {
    return this.#reserver
  }

  set reserver(nexus: Nexus | undefined) {
    this.#reserver = nexus
    this.#restrict()
  }

  /** SANITIZE is at work: there is no medium to read or write. */
  get isSanitizing(): boolean {
    return this.#isSanitizing
  }

  set isSanitizing(isSanitizing: boolean) {
    this.#isSanitizing = isSanitizing
    this.#restrict()
  }

  /** Persistent reservations as they are kept. */
  get reservations(): ReservationState {
    return this.#reservations
  }

  /** Takes up what was kept of persistent reservations; before the first command. */
  async loadReservations(): Promise<void> {
    this.#reservations = (await this.#store.load(this.#storeId)) ?? NO_RESERVATIONS
    this.#restrict()
  }

  /** A new state is in force once it is kept. */
  async keepReservations(state: ReservationState): Promise<void> {
    await this.#store.save(this.#storeId, state)
    this.#reservations = state
    this.#restrict()
  }

  /** What LOGICAL UNIT RESET undoes (SAM-5 §6.3.3); persistent reservations outlive it. */
  reset(): void {
    this.reserver = undefined
    this.modes = { ...DEFAULT_MODES }
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

  #restrict(): void {
    const isReserved = this.#reserver !== undefined || this.#reservations.reservation !== undefined
    this.isRestricted = isReserved || this.#isSanitizing
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
