/** Operations that may be under way at a time. */
export const RING_SLOTS = 1024

/** What an I/O thread does. */
export const IO_READ = 0
export const IO_WRITE = 1

/** Threads that a ring can have. */
export const MAX_IO_THREADS = 64

// Words of the control part, 32 bits each.
const HEAD = 0 // requests queued so far
const TAIL = 1 // requests that threads took so far
const ENDED = 2 // requests that ended so far
const TOLD = 3 // 1: the owner was told that something ended and has not looked yet
const ASLEEP = 4 // a word for each thread, 1: it sleeps or is about to; whoever makes it 0 has woken it
const CONTROL_WORDS = ASLEEP + MAX_IO_THREADS
// Doubles of a request: operation, descriptor, memory id, offset in it, length, position in the file.
const REQUEST_DOUBLES = 6
const MASK = RING_SLOTS - 1

const REQUESTS_AT = CONTROL_WORDS * 4
const QUEUE_AT = REQUESTS_AT + RING_SLOTS * REQUEST_DOUBLES * 8
const RESULTS_AT = QUEUE_AT + RING_SLOTS * 4
const ENDS_AT = RESULTS_AT + RING_SLOTS * 4
const RING_BYTES = ENDS_AT + RING_SLOTS * 4

/** An operation in a slot: `memoryId` and `offset` say where its bytes are. */
export interface IoRequest {
  readonly operation: number
  readonly fd: number
  readonly memoryId: number
  readonly offset: number
  readonly length: number
  readonly position: number
}

/**
 * Memory shared by one owner and its I/O threads: slots with requests, the order in which they were queued, and
 * the order in which they ended. Nothing in it is a lock; all that threads race for is changed by `Atomics`.
 */
export class IoRing {
  readonly memory: SharedArrayBuffer
  readonly #control: Int32Array
  readonly #requests: Float64Array
  readonly #queue: Int32Array
  readonly #results: Int32Array
  readonly #ends: Int32Array
  #head = 0
  #seen = 0

  constructor(memory = new SharedArrayBuffer(RING_BYTES)) {
    this.memory = memory
    this.#control = new Int32Array(memory, 0, CONTROL_WORDS)
    this.#requests = new Float64Array(memory, REQUESTS_AT, RING_SLOTS * REQUEST_DOUBLES)
    this.#queue = new Int32Array(memory, QUEUE_AT, RING_SLOTS)
    this.#results = new Int32Array(memory, RESULTS_AT, RING_SLOTS)
    this.#ends = new Int32Array(memory, ENDS_AT, RING_SLOTS)
  }

  /** Requests that no thread took yet. */
  get backlog(): number {
    return (this.#head - Atomics.load(this.#control, TAIL)) | 0
  }

  /** How many of the first `threads` threads sleep. */
  sleepers(threads: number): number {
    let count = 0
    for (let i = 0; i < threads; i++) count += Atomics.load(this.#control, ASLEEP + i)
    return count
  }

  /** Owner: puts a request into a free slot and queues it. Threads that sleep go on sleeping. */
  queue(slot: number, request: IoRequest): void {
    const at = slot * REQUEST_DOUBLES
    const requests = this.#requests
    requests[at] = request.operation
    requests[at + 1] = request.fd
    requests[at + 2] = request.memoryId
    requests[at + 3] = request.offset
    requests[at + 4] = request.length
    requests[at + 5] = request.position
    this.#queue[this.#head & MASK] = slot
    this.#head = (this.#head + 1) | 0
    Atomics.store(this.#control, HEAD, this.#head)
  }

  /** Owner: wakes one of the first `threads` threads if one sleeps. */
  wake(threads: number): void {
    for (let word = ASLEEP; word < ASLEEP + threads; word++) {
      if (Atomics.compareExchange(this.#control, word, 1, 0) === 0) continue
      Atomics.notify(this.#control, word, 1)
      return
    }
  }

  /** Owner: a slot whose request ended, or -1. Its result is read before it is used again. */
  nextEnded(): number {
    const at = this.#seen & MASK
    const slot = Atomics.load(this.#ends, at) - 1
    if (slot < 0) return -1
    Atomics.store(this.#ends, at, 0)
    this.#seen = (this.#seen + 1) | 0
    return slot
  }

  /** Bytes moved, or the negative errno. */
  resultOf(slot: number): number {
    return this.#results[slot] ?? 0
  }

  /** Owner: from now on the next request that ends tells it. */
  expectEnd(): void {
    Atomics.store(this.#control, TOLD, 0)
  }

  /** Owner: resolves when a request ended since {@link expectEnd}; undefined when one has already. */
  untilEnd(): Promise<unknown> | undefined {
    const { async, value } = Atomics.waitAsync(this.#control, TOLD, 0)
    return async ? value : undefined
  }

  /** Owner: waits, doing nothing else, until a request ended since {@link expectEnd}; not longer than `ms`. */
  waitForEnd(ms: number): boolean {
    return Atomics.wait(this.#control, TOLD, 0, ms) !== 'timed-out'
  }

  /** Thread: the slot of the next request, or -1. */
  take(): number {
    for (;;) {
      const tail = Atomics.load(this.#control, TAIL)
      if (tail === Atomics.load(this.#control, HEAD)) return -1
      const slot = this.#queue[tail & MASK] ?? 0
      if (Atomics.compareExchange(this.#control, TAIL, tail, (tail + 1) | 0) === tail) return slot
    }
  }

  /** Thread `index`: sleeps until it is woken; not when there is a request. */
  sleep(index: number): void {
    const control = this.#control
    const word = ASLEEP + index
    Atomics.store(control, word, 1)
    // A request queued since the last look would wake nobody: look again now that we count as a sleeper.
    if (Atomics.load(control, HEAD) === Atomics.load(control, TAIL)) Atomics.wait(control, word, 1)
    else Atomics.store(control, word, 0)
  }

  /** Thread: what a slot asks for. */
  request(slot: number): IoRequest {
    const at = slot * REQUEST_DOUBLES
    const of = (i: number): number => this.#requests[at + i] ?? 0
    return {
      operation: of(0),
      fd: of(1),
      memoryId: of(2),
      offset: of(3),
      length: of(4),
      position: of(5),
    }
  }

  /** Thread: the request of `slot` ended with `result`; the owner learns of it by {@link tell}. */
  end(slot: number, result: number): void {
    this.#results[slot] = result
    const at = Atomics.add(this.#control, ENDED, 1) & MASK
    Atomics.store(this.#ends, at, slot + 1)
  }

  /** Thread: tells the owner that something ended. */
  tell(): void {
    if (Atomics.exchange(this.#control, TOLD, 1) === 0) Atomics.notify(this.#control, TOLD)
  }
}
