import type { Outcome } from '../scsi/sense.js'
import { NO_TAG } from './pdu.js'

/**
 * Commands of one session that devices work for at a time: another session's command waits for at most so many of
 * its neighbour's, however deep that one's queue is.
 */
const MAX_RUNNING = 32
const CDB_BYTES = 16
const NO_DATA = new Uint8Array(0)

/** One command between its arrival and its answer. */
export class Task {
  readonly itt: number
  readonly lun: number
  /** The LUN field as it came, two words: an R2T repeats it (RFC 7143 §11.8), also where we have no such LUN. */
  readonly lunField: readonly [number, number]
  /** 16 bytes, a copy. */
  readonly cdb: Uint8Array
  /** Expected Data Transfer Length of the header. */
  readonly expectedBytes: number
  readonly isRead: boolean
  readonly isWrite: boolean
  /** Immediate commands stand outside the command window. */
  readonly isImmediate: boolean
  /** Data-out, `wantedBytes` of it; undefined when there is none. */
  dataOut: Buffer | undefined
  wantedBytes = 0
  receivedBytes = 0
  /** Where the burst under way must end, and the numbers its Data-Out PDUs must have. */
  burstEnd = 0
  dataSn = 0
  ttt = NO_TAG
  r2tSn = 0
  /** Bytes of the R2T that is open. */
  solicitedBytes = 0
  /** Set when it can only fail: its answer once the data under way has come (RFC 7143 §7.8). */
  refusal: Outcome | undefined
  /** Answered by nobody: aborted, or its session has ended. */
  isAborted = false
  /** Has all its data and waits for the device. */
  isReady = false
  /** With the device. */
  isRunning = false
  /** Called when the device is done with it. */
  waiters: (() => void)[] = []

  /** @param at where the header is in `bytes` */
  constructor(bytes: Buffer, at: number, lun: number) {
    const flags = bytes[at + 1] ?? 0
    this.itt = bytes.readUInt32BE(at + 16)
    this.lun = lun
    this.lunField = [bytes.readUInt32BE(at + 8), bytes.readUInt32BE(at + 12)]
    this.cdb = cdbAt(bytes, at + 32)
    this.isRead = (flags & 0x40) !== 0
    this.isWrite = (flags & 0x20) !== 0
    this.expectedBytes = bytes.readUInt32BE(at + 20)
    this.isImmediate = ((bytes[at] ?? 0) & 0x40) !== 0
  }
}

/** Byte by byte: so short a copy costs less than a view to copy from. */
function cdbAt(bytes: Buffer, at: number): Uint8Array {
  const cdb = new Uint8Array(CDB_BYTES)
  for (let i = 0; i < CDB_BYTES; i++) cdb[i] = bytes[at + i] ?? 0
  return cdb
}

/** The tasks of a session that are waiting for data or for a device. */
export class TaskSet {
  readonly #tasks = new Map<number, Task>()
  readonly #running = new Set<Task>()

  get size(): number {
    return this.#tasks.size
  }

  /** Devices have as much of this session as they may at a time. */
  get isFull(): boolean {
    return this.#running.size >= MAX_RUNNING
  }

  /** A device has something to do. */
  get isBusy(): boolean {
    return this.#running.size > 0
  }

  add(task: Task): void {
    this.#tasks.set(task.itt, task)
  }

  get(itt: number): Task | undefined {
    return this.#tasks.get(itt)
  }

  all(): Task[] {
    return [...this.#tasks.values()]
  }

  remove(task: Task): void {
    if (this.#tasks.get(task.itt) === task) this.#tasks.delete(task.itt)
  }

  /** The device has it from now on. */
  start(task: Task): void {
    task.isRunning = true
    this.#running.add(task)
  }

  /** The device is done with it. */
  finish(task: Task): void {
    task.isRunning = false
    this.#running.delete(task)
    for (const waiter of task.waiters) waiter()
  }

  /** Every task that a device has, aborted ones too. */
  running(): Task[] {
    return [...this.#running]
  }
}

/** Resolves when no device works for any of `tasks`: what was aborted can no longer change a disk. */
export async function devicesDone(tasks: readonly Task[]): Promise<void> {
  const running = tasks.filter((task) => task.isRunning)
  await Promise.all(running.map((task) => new Promise<void>((resolve) => task.waiters.push(resolve))))
}

/** The data-out of a task that has all of it; no view is made of a buffer that fits. */
export function wantedData({ dataOut, wantedBytes }: Task): Uint8Array {
  if (dataOut === undefined) return NO_DATA
  return dataOut.length === wantedBytes ? dataOut : dataOut.subarray(0, wantedBytes)
}
