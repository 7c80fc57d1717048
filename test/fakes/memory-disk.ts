import { BlockError, type BlockDevice, type Extent } from '../../src/rootdisk/block-device.js'

const ZEROS = Buffer.alloc(4096)

/** A disk in memory; with `isSlow` every call takes a turn of the event loop. */
export class MemoryDisk implements BlockDevice {
  bytes: Buffer
  readonly isReadOnly: boolean
  isSlow: boolean
  /** Next calls fail with this. */
  failure: BlockError | undefined
  flushes = 0
  isClosed = false
  /** Calls that a slow disk has begun and not ended. */
  inFlight = 0
  #held: { reached: () => void; released: Promise<void> } | undefined

  constructor(sizeBytes: number, options: { isReadOnly?: boolean; isSlow?: boolean } = {}) {
    this.bytes = Buffer.alloc(sizeBytes)
    this.isReadOnly = options.isReadOnly ?? false
    this.isSlow = options.isSlow ?? false
  }

  get sizeBytes(): number {
    return this.bytes.length
  }

  read(offset: number, into: Uint8Array): undefined | Promise<void> {
    return this.#run(() => {
      into.set(this.bytes.subarray(offset, offset + into.length))
    })
  }

  write(offset: number, from: Uint8Array): undefined | Promise<void> {
    if (this.isReadOnly) throw new BlockError('read-only', 'the disk is read-only')
    return this.#run(() => {
      this.bytes.set(from, offset)
    })
  }

  flush(): undefined | Promise<void> {
    return this.#run(() => this.flushes++)
  }

  unmap(offset: number, length: number): undefined | Promise<void> {
    return this.#run(() => this.bytes.fill(0, offset, offset + length))
  }

  extents(offset: number, length: number): readonly Extent[] {
    const end = offset + length
    const extents: Extent[] = []
    for (let at = offset; at < end; at += 4096) {
      const piece = this.bytes.subarray(at, Math.min(at + 4096, end))
      const kind = piece.equals(ZEROS.subarray(0, piece.length)) ? 'zero' : 'data'
      const last = extents.at(-1)
      if (last?.kind === kind) extents[extents.length - 1] = { ...last, length: last.length + piece.length }
      else extents.push({ offset: at, length: piece.length, kind })
    }
    return extents
  }

  /** Grows while it is open; what is new reads as zeros. */
  grow(sizeBytes: number): void {
    this.bytes = Buffer.concat([this.bytes], sizeBytes)
  }

  /** From now on no call of a slow disk ends before `release`; `reached` resolves when the first has begun. */
  hold(): { reached: Promise<void>; release: () => void } {
    let release = (): void => undefined
    const released = new Promise<void>((resolve) => (release = resolve))
    const reached = new Promise<void>((resolve) => (this.#held = { reached: resolve, released }))
    return {
      reached,
      release: () => {
        this.#held = undefined
        release()
      },
    }
  }

  close(): Promise<void> {
    this.isClosed = true
    return Promise.resolve()
  }

  async #later(work: () => void): Promise<void> {
    this.inFlight++
    this.#held?.reached()
    await this.#held?.released
    await new Promise((resolve) => setImmediate(resolve))
    this.inFlight--
    work()
  }

  #run(work: () => void): undefined | Promise<void> {
    if (this.failure !== undefined) {
      if (this.isSlow) return Promise.reject(this.failure)
      throw this.failure
    }
    if (!this.isSlow) {
      work()
      return undefined
    }
    return this.#later(work)
  }
}
