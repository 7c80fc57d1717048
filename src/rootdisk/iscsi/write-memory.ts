import { copyBytes } from '../copy-bytes.js'
import type { BufferPool } from './buffer-pool.js'
import type { Task } from './task.js'

/** Write data of a session beyond first bursts; the first bursts of a full window add at most 32 MiB. */
const MAX_HELD_BYTES = 16 << 20
/** Write data of the whole process; beyond it new writes are answered BUSY. */
const MAX_PROCESS_BYTES = 512 << 20

/** Memory of one session for the data of its writes. */
export class WriteMemory {
  readonly #pool: BufferPool
  #heldBytes = 0

  constructor(pool: BufferPool) {
    this.#pool = pool
  }

  /** For a write of `length` bytes, or only for its first burst when there is little left; undefined for BUSY. */
  take(length: number, firstBurst: number): Buffer | undefined {
    if (this.#pool.takenBytes > MAX_PROCESS_BYTES) return undefined
    return this.#take(this.#heldBytes + length > MAX_HELD_BYTES ? Math.min(length, firstBurst) : length)
  }

  /**
   * Makes room for all data of a write; false when it must wait its turn.
   * @param isAlone nothing else could make room: it gets it without a limit
   */
  fit(task: Pick<Task, 'dataOut' | 'wantedBytes' | 'receivedBytes'>, isAlone: boolean): boolean {
    const { dataOut, wantedBytes, receivedBytes } = task
    if (dataOut === undefined || dataOut.length >= wantedBytes) return true
    if (this.#heldBytes + wantedBytes > MAX_HELD_BYTES && !isAlone) return false
    task.dataOut = this.#take(wantedBytes)
    copyBytes(dataOut.subarray(0, receivedBytes), task.dataOut)
    this.give(dataOut)
    return true
  }

  give(buffer: Buffer): void {
    this.#heldBytes -= buffer.length
    this.#pool.give(buffer)
  }

  #take(length: number): Buffer {
    const buffer = this.#pool.take(length)
    this.#heldBytes += buffer.length
    return buffer
  }
}
