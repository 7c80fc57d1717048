import { BlockError, type BlockDevice, type Extent } from '../block-device.js'

/** A device as somebody sees it who may not write. Owns it: closing closes it. */
export class ReadOnlyDisk implements BlockDevice {
  readonly isReadOnly = true
  readonly #device: BlockDevice

  constructor(device: BlockDevice) {
    this.#device = device
  }

  get sizeBytes(): number {
    return this.#device.sizeBytes
  }

  read(offset: number, into: Uint8Array): undefined | Promise<void> {
    return this.#device.read(offset, into)
  }

  write(): Promise<void> {
    return Promise.reject(new BlockError('read-only', 'the disk is shown read-only'))
  }

  flush(): undefined {
    // nothing is ever written
  }

  unmap(): Promise<void> {
    return this.write()
  }

  extents(offset: number, length: number): readonly Extent[] | Promise<readonly Extent[]> {
    return this.#device.extents(offset, length)
  }

  close(): Promise<void> {
    return this.#device.close()
  }
}
