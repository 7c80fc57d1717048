import { ordinaryMemory } from './buffer-pool.js'

/** Where the bytes go: a socket, or something before it. */
export interface OutputSink {
  /** @param done called once when the bytes are taken and may be overwritten */
  write(bytes: Buffer, done: () => void): unknown
  cork(): void
  uncork(): void
}

const SLAB_BYTES = 1 << 20
/** Slabs kept for reuse by all connections. */
const KEPT_SLABS = 32

/** A large piece of memory that responses are encoded into; free again when the socket took all of it. */
interface Slab {
  readonly bytes: Buffer
  /** Reused; others are for a crowd and go with it. */
  readonly isKept: boolean
  /** Regions that are not written yet, and one for the connection that fills it. */
  users: number
}

/** Slabs shared by the connections of a portal: an idle connection holds none. */
export class SlabPool {
  readonly #free: Slab[] = []
  readonly #allocate: (sizeBytes: number) => Buffer
  #keptCount = 0

  /** @param allocate memory for the slabs that are kept for good */
  constructor(allocate: (sizeBytes: number) => Buffer = ordinaryMemory) {
    this.#allocate = allocate
  }

  take(): Slab {
    const slab = this.#free.pop() ?? this.#make()
    slab.users = 1
    return slab
  }

  release(slab: Slab): void {
    slab.users--
    if (slab.users === 0 && slab.isKept) this.#free.push(slab)
  }

  #make(): Slab {
    const isKept = this.#keptCount < KEPT_SLABS
    if (isKept) this.#keptCount++
    const bytes = isKept ? this.#allocate(SLAB_BYTES) : Buffer.allocUnsafeSlow(SLAB_BYTES)
    return { bytes, isKept, users: 0 }
  }
}

/** A part of a slab that is filled later, by a device, and then sent. */
export interface Region {
  readonly slab: Slab
  readonly start: number
  readonly end: number
}

/**
 * What a connection sends: PDUs are encoded one behind another in a slab and written once per tick.
 * Ask for room, encode at `bytes` from the offset given, then `commit` the length.
 */
export class Output {
  /** Bytes promised to the socket and not taken by it yet. */
  backlogBytes = 0
  #sink: OutputSink
  readonly #pool: SlabPool
  readonly #onWritten: () => void
  #slab: Slab | undefined
  #start = 0
  #end = 0
  #ready: Region[] = []
  readonly #writing: Region[] = []

  constructor(sink: OutputSink, pool: SlabPool, onWritten: () => void) {
    this.#sink = sink
    this.#pool = pool
    this.#onWritten = onWritten
  }

  /** What is written from now on goes to `sink`. */
  switchTo(sink: OutputSink): void {
    this.#sink = sink
  }

  /** The memory that {@link room} gives offsets of. */
  get bytes(): Buffer {
    return this.#current().bytes
  }

  /** Offset of `length` free bytes (at most 1 MiB); they are not taken until {@link commit} or {@link detach}. */
  room(length: number): number {
    if (this.#slab !== undefined && this.#end + length > SLAB_BYTES) {
      this.#closeRun()
      this.#pool.release(this.#slab)
      this.#slab = undefined
    }
    this.#current()
    return this.#end
  }

  /** The next `length` bytes are ready to be sent. */
  commit(length: number): void {
    this.#end += length
    this.backlogBytes += length
  }

  /** The next `length` bytes are filled later: {@link attach} them or {@link discard} them then. */
  detach(length: number): Region {
    this.#closeRun()
    const slab = this.#current()
    const region = { slab, start: this.#end, end: this.#end + length }
    slab.users++
    this.#end = region.end
    this.#start = region.end
    this.backlogBytes += length
    return region
  }

  /** A detached region is complete up to `length`. */
  attach(region: Region, length: number): void {
    this.#closeRun()
    this.backlogBytes -= region.end - region.start - length
    this.#ready.push({ slab: region.slab, start: region.start, end: region.start + length })
  }

  /** A detached region is not wanted any more. */
  discard(region: Region): void {
    this.backlogBytes -= region.end - region.start
    this.#pool.release(region.slab)
  }

  /** Hands everything that is ready to the socket. */
  flush(): void {
    this.#closeRun()
    if (this.#slab !== undefined) this.#pool.release(this.#slab)
    this.#slab = undefined
    const regions = this.#ready
    if (regions.length === 0) return
    this.#ready = []
    if (regions.length > 1) this.#sink.cork()
    for (const region of regions) {
      this.#writing.push(region)
      this.#sink.write(region.slab.bytes.subarray(region.start, region.end), this.#written)
    }
    if (regions.length > 1) this.#sink.uncork()
  }

  readonly #written = (): void => {
    const region = this.#writing.shift()
    if (region === undefined) return
    this.backlogBytes -= region.end - region.start
    this.#pool.release(region.slab)
    this.#onWritten()
  }

  #closeRun(): void {
    const slab = this.#slab
    if (slab === undefined || this.#end === this.#start) return
    slab.users++
    this.#ready.push({ slab, start: this.#start, end: this.#end })
    this.#start = this.#end
  }

  #current(): Slab {
    if (this.#slab === undefined) {
      this.#slab = this.#pool.take()
      this.#start = 0
      this.#end = 0
    }
    return this.#slab
  }
}
