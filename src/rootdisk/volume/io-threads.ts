import { getSystemErrorMap } from 'node:util'
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads'
import type { Clock } from '../../clock.js'
import type { Service } from '../../service.js'
import { IO_READ, IO_WRITE, IoRing, RING_SLOTS } from './io-ring.js'
import type { IoThreadData, SharedMemory } from './io-thread.js'
import { nodeLayerFiles, type IoDone, type LayerFiles } from './layer-files.js'

/** A second thread helps when more requests wait: two of them on one file would fight for its lock. */
const CROWD = 32
/** How long requests may wait behind threads that a disk holds before another thread is woken. */
const STUCK_MS = 1

/** How long a lone request is waited for, and how many are not waited for after one that took longer. */
const LONE_MS = 0.05
const LONE_PAUSE = 256

/** How many threads there are, and how much memory they share with us. */
export interface IoThreadsOptions {
  /** I/Os that a slow disk is given at a time, at most 64. */
  readonly threads: number
  /** Beyond it {@link IoThreads.allocate} gives memory that only libuv's pool can use. */
  readonly sharedBytes: number
}

/**
 * Layer files whose reads and writes are done by threads of our own, asked through shared memory: a libuv
 * request costs 6 to 10 us of CPU, one of these 2 to 3 us, since many are queued and many end by one system call.
 * Only for bytes in memory that came from {@link allocate}; others go through libuv.
 */
export class IoThreads implements Service {
  readonly name = 'disk threads'
  /** Layer files through the threads, usable before the start and after the end too. */
  readonly files: LayerFiles = {
    ...nodeLayerFiles,
    read: (fd, into, position, done) => {
      const isQueued = this.#queue(IO_READ, { fd, position }, into, done)
      if (!isQueued) nodeLayerFiles.read(fd, into, position, done)
    },
    write: (fd, from, position, done) => {
      const isQueued = this.#queue(IO_WRITE, { fd, position }, from, done)
      if (!isQueued) nodeLayerFiles.write(fd, from, position, done)
    },
  }
  readonly #options: IoThreadsOptions
  readonly #clock: Clock
  readonly #ring = new IoRing()
  readonly #threads: { readonly worker: Worker; readonly port: MessagePort }[] = []
  readonly #memoryIds = new Map<ArrayBufferLike, number>()
  readonly #waiting: ({ readonly length: number; readonly done: IoDone } | undefined)[] = []
  readonly #freeSlots = Array.from({ length: RING_SLOTS }, (_, i) => RING_SLOTS - 1 - i)
  #sharedBytes = 0
  #isWakeDue = false
  #impatience = 0
  #isListening = false
  #isWatching = false

  constructor(options: IoThreadsOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
  }

  start(onFatal: (cause: Error) => void): Promise<void> {
    const file = import.meta.filename.endsWith('.ts') ? './io-thread.ts' : './io-thread.js'
    for (let index = 0; index < this.#options.threads; index++) {
      const { port1, port2 } = new MessageChannel()
      const workerData: IoThreadData = { ring: this.#ring.memory, index, port: port2 }
      const worker = new Worker(new URL(file, import.meta.url), { workerData, transferList: [port2] })
      worker.on('error', onFatal)
      port1.unref()
      for (const [memory, memoryId] of this.#memoryIds) port1.postMessage({ memoryId, memory })
      this.#threads.push({ worker, port: port1 })
    }
    return Promise.resolve()
  }

  async stop(): Promise<void> {
    for (const { worker, port } of this.#threads.splice(0)) {
      port.close()
      await worker.terminate()
    }
  }

  /** Memory that the threads can reach, as long as `sharedBytes` last; keep it for good, it is never given back. */
  readonly allocate = (sizeBytes: number): Buffer => {
    if (this.#sharedBytes + sizeBytes > this.#options.sharedBytes) return Buffer.allocUnsafeSlow(sizeBytes)
    this.#sharedBytes += sizeBytes
    const memory = new SharedArrayBuffer(sizeBytes)
    const memoryId = this.#memoryIds.size
    this.#memoryIds.set(memory, memoryId)
    const message: SharedMemory = { memoryId, memory }
    for (const { port } of this.#threads) port.postMessage(message)
    return Buffer.from(memory)
  }

  #queue(
    operation: number,
    { fd, position }: { fd: number; position: number },
    bytes: Uint8Array,
    done: IoDone,
  ): boolean {
    const memoryId = this.#memoryIds.get(bytes.buffer)
    if (memoryId === undefined || this.#threads.length === 0) return false
    const slot = this.#freeSlots.pop()
    if (slot === undefined) return false
    const { byteOffset: offset, length } = bytes
    this.#waiting[slot] = { length, done }
    const ring = this.#ring
    ring.queue(slot, { operation, fd, memoryId, offset, length, position })
    if (!this.#isWakeDue) {
      this.#isWakeDue = true
      queueMicrotask(this.#wake)
    }
    return true
  }

  /** Once for all that one received chunk queued: waking a thread costs as much as doing a small read. */
  readonly #wake = (): void => {
    this.#isWakeDue = false
    const threads = this.#threads.length
    const isAnyAwake = this.#ring.sleepers(threads) < threads
    if (!isAnyAwake || this.#ring.backlog > CROWD) this.#ring.wake(threads)
    if (!this.#isListening) this.#begin()
    if (!this.#isWatching && this.#isListening) this.#watch()
  }

  /**
   * A lone request on cached data ends before the event loop could come round to it: we stand still for it, for
   * no longer than a turn of the loop takes, and not again for a while when it did not end by then.
   */
  #begin(): void {
    const isLone = this.#freeSlots.length === RING_SLOTS - 1
    if (isLone && this.#impatience > 0) this.#impatience--
    else if (isLone && !this.#ring.waitForEnd(LONE_MS)) this.#impatience = LONE_PAUSE
    this.#listen()
  }

  /** Ends what has ended; told again as long as something is under way. */
  readonly #listen = (): void => {
    this.#ring.expectEnd()
    for (let slot = this.#ring.nextEnded(); slot >= 0; slot = this.#ring.nextEnded()) this.#end(slot)
    this.#isListening = this.#freeSlots.length < RING_SLOTS
    if (!this.#isListening) return
    const later = this.#ring.untilEnd()
    if (later === undefined) setImmediate(this.#listen)
    else void later.then(this.#listen)
  }

  #end(slot: number): void {
    const waiting = this.#waiting[slot]
    const result = this.#ring.resultOf(slot)
    this.#waiting[slot] = undefined
    this.#freeSlots.push(slot)
    if (waiting !== undefined) waiting.done(result === waiting.length ? null : failure(result))
  }

  /** While requests wait and none is taken, the threads that are awake hang on a disk: wakes another. */
  #watch(): void {
    this.#isWatching = true
    const { backlog } = this.#ring
    this.#clock.after(STUCK_MS, () => {
      this.#isWatching = false
      if (this.#ring.backlog === 0) return
      if (this.#ring.backlog >= backlog) this.#ring.wake(this.#threads.length)
      this.#watch()
    })
  }
}

/** The error of a system call as node:fs would give it; a file that ends too early is damaged. */
function failure(result: number): Error {
  const [code, text] = getSystemErrorMap().get(result < 0 ? result : -5) ?? ['EIO', 'i/o error']
  return Object.assign(new Error(result < 0 ? text : 'the file ends too early'), { code })
}
