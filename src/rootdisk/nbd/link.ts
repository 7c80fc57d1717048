import type { BlockDevice } from '../block-device.js'
import type { BufferPool } from '../iscsi/buffer-pool.js'
import type { Output } from '../iscsi/output.js'

/** What the commands of one connection work with. */
export interface Link {
  readonly device: BlockDevice
  readonly output: Output
  readonly buffers: BufferPool
  readonly isStructured: boolean
  /** The client selected base:allocation. */
  readonly hasAllocation: boolean
  /** Nothing is to be sent any more. */
  isClosed: boolean
  /** Something was put into the output outside of a received chunk, or a request ended. */
  onProgress(): void
  /** A failure that is no BlockError. */
  onFault(err: unknown): void
}
