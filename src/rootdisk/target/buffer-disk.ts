import { BlockError, type BlockDevice, type Extent } from '../block-device.js'

/** What a {@link BufferDisk} shows; may be replaced under it as a whole. */
export interface DiskContent {
  /** The whole disk; nobody writes into it. */
  bytes: Uint8Array
  /** Another one for each time the bytes were replaced. */
  revision: number
}

/** A read-only disk whose content is in memory: the seed disk. A read sees one content or the next, never a mixture. */
export class BufferDisk implements BlockDevice {
  readonly isReadOnly = true
  readonly #content: DiskContent
  readonly #onClose: () => void

  /** @param onClose called once, when nobody reads it through this device any more */
  constructor(content: DiskContent, onClose: () => void) {
    this.#content = content
    this.#onClose = onClose
  }

  get sizeBytes(): number {
    return this.#content.bytes.length
  }

  get revision(): number {
    return this.#content.revision
  }

  read(offset: number, into: Uint8Array): undefined {
    const found = this.#content.bytes.subarray(offset, offset + into.length)
    into.set(found)
    into.fill(0, found.length) // the content that the caller knew the size of may be gone
  }

  write(): undefined {
    throw new BlockError('read-only', 'the seed disk is read-only')
  }

  flush(): undefined {
    // nothing is ever written
  }

  unmap(): undefined {
    throw new BlockError('read-only', 'the seed disk is read-only')
  }

  extents(offset: number, length: number): readonly Extent[] {
    return [{ offset, length, kind: 'data' }]
  }

  close(): Promise<void> {
    this.#onClose()
    return Promise.resolve()
  }
}
