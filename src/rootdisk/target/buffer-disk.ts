import { BlockError, type BlockDevice, type Extent } from '../block-device.js'

/** A read-only disk whose content is in memory: the seed disk. */
export class BufferDisk implements BlockDevice {
  readonly sizeBytes: number
  readonly isReadOnly = true
  readonly #content: Uint8Array

  /** @param content the whole disk; owned by the device from now on */
  constructor(content: Uint8Array) {
    this.#content = content
    this.sizeBytes = content.length
  }

  read(offset: number, into: Uint8Array): undefined {
    into.set(this.#content.subarray(offset, offset + into.length))
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
    return Promise.resolve()
  }
}
