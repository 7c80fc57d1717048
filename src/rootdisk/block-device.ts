/** A run of bytes whose content has one origin. */
export interface Extent {
  readonly offset: number
  readonly length: number
  /** `data`: stored; `zero`: reads as zeros and holds no bytes. */
  readonly kind: 'data' | 'zero'
}

/**
 * What a LUN or an NBD export reads and writes. Offsets and lengths are bytes and need no alignment.
 * A call that finished at once returns undefined (the fast path allocates nothing); otherwise a promise.
 * Buffers belong to the device until the call is done. Failures are `BlockError`.
 * The caller has checked `offset + length <= sizeBytes`; at most 2^53 bytes.
 */
export interface BlockDevice {
  readonly sizeBytes: number
  readonly isReadOnly: boolean
  /** Another number once somebody else than its users has changed what it holds; absent where nobody does. */
  readonly revision?: number
  /** Fills `into` from `offset`. */
  read(offset: number, into: Uint8Array): undefined | Promise<void>
  /** Done when the bytes would survive SIGKILL of this process. */
  write(offset: number, from: Uint8Array): undefined | Promise<void>
  /** Done when everything acknowledged before the call would survive power loss. */
  flush(): undefined | Promise<void>
  /** The range reads as zeros from now on; whole clusters in it give their space back. */
  unmap(offset: number, length: number): undefined | Promise<void>
  /** Extents that cover the range, in order, adjacent ones of one kind merged; a promise when others know them. */
  extents(offset: number, length: number): readonly Extent[] | Promise<readonly Extent[]>
  close(): Promise<void>
}

/** Why a block device could not do it; the SCSI and NBD layers translate. */
export type BlockErrorKind = 'no-space' | 'medium' | 'read-only'

/** A failed read, write, flush or unmap: the device goes on serving. */
export class BlockError extends Error {
  override readonly name = 'BlockError'
  readonly kind: BlockErrorKind

  constructor(kind: BlockErrorKind, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.kind = kind
  }
}
