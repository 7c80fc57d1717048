import { BlockError, type BlockDevice } from '../block-device.js'

/** A disk that another process serves: it is known here how large it is, and no more. */
export class DistantDisk implements BlockDevice {
  readonly sizeBytes: number
  readonly isReadOnly = false

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes
  }

  read(): never {
    throw elsewhere()
  }

  write(): never {
    throw elsewhere()
  }

  flush(): never {
    throw elsewhere()
  }

  unmap(): never {
    throw elsewhere()
  }

  extents(): never {
    throw elsewhere()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

function elsewhere(): BlockError {
  return new BlockError('medium', 'the disk is served by another process')
}
