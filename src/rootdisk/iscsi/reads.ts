import type { LogicalUnit } from '../scsi/logical-unit.js'
import { failureOutcome, SENSE } from '../scsi/sense.js'
import type { Channel } from './channel.js'
import { fillPiece, framedBytes, framePiece, pieceBytes, type ReadProgress } from './data-in.js'
import type { Region } from './output.js'
import { sendScsiResponse } from './responses.js'
import type { Task, TaskSet } from './task.js'

/** A piece that a device is still filling. */
interface Pending {
  readonly done: Promise<void>
  readonly region: Region
  readonly dataBytes: number
}

/** What the reads of a session tell it. */
export interface ReadEvents {
  onOutput(): void
  onFault(err: unknown): void
}

/** Reads from a device straight into the output; no promise and no copy while the device answers at once. */
export class Reads {
  readonly #channel: Channel
  readonly #tasks: TaskSet
  readonly #events: ReadEvents

  constructor(channel: Channel, tasks: TaskSet, events: ReadEvents) {
    this.#channel = channel
    this.#tasks = tasks
    this.#events = events
  }

  /** Runs a read. `task` is called when it must wait for the device. */
  start(unit: LogicalUnit, read: ReadProgress, task: () => Task): void {
    let pending: Pending | undefined
    try {
      pending = this.#pieces(unit, read)
    } catch (err) {
      this.#fail(read, err)
      return
    }
    if (pending !== undefined) void this.#finish(unit, read, pending, task())
  }

  async #finish(unit: LogicalUnit, read: ReadProgress, first: Pending, task: Task): Promise<void> {
    const channel = this.#channel
    this.#tasks.start(task)
    let failure: { cause: unknown } | undefined
    for (let pending: Pending | undefined = first; pending !== undefined;) {
      try {
        await pending.done
      } catch (err) {
        failure = { cause: err }
      }
      if (failure !== undefined || task.isAborted || channel.isClosed) {
        channel.output.discard(pending.region)
        break
      }
      const isLast = read.sentBytes + pending.dataBytes === read.totalBytes
      if (isLast) this.#close(task)
      this.#attach(read, pending)
      ;[pending, failure] = this.#next(unit, read)
    }
    this.#close(task)
    this.#tasks.finish(task)
    if (failure !== undefined && !task.isAborted && !channel.isClosed) this.#fail(read, failure.cause)
    this.#events.onOutput()
  }

  #next(unit: LogicalUnit, read: ReadProgress): [Pending | undefined, { cause: unknown } | undefined] {
    try {
      return [this.#pieces(unit, read), undefined]
    } catch (err) {
      return [undefined, { cause: err }]
    }
  }

  #pieces(unit: LogicalUnit, read: ReadProgress): Pending | undefined {
    const { output } = this.#channel
    while (read.sentBytes < read.totalBytes) {
      const dataBytes = pieceBytes(this.#channel, read)
      const length = framedBytes(this.#channel, dataBytes)
      const at = output.room(length)
      const place = { bytes: output.bytes, at, dataBytes }
      const done = fillPiece(this.#channel, unit.device, read, place)
      if (done !== undefined) return { done, region: output.detach(length), dataBytes }
      framePiece(this.#channel, read, place)
      output.commit(length)
    }
    return undefined
  }

  #attach(read: ReadProgress, { region, dataBytes }: Pending): void {
    framePiece(this.#channel, read, { bytes: region.slab.bytes, at: region.start, dataBytes })
    this.#channel.output.attach(region, region.end - region.start)
  }

  #close(task: Task): void {
    if (this.#tasks.get(task.itt) !== task) return
    this.#tasks.remove(task)
    if (!task.isImmediate) this.#channel.commandEnded(this.#tasks.isFull)
  }

  #fail(read: ReadProgress, cause: unknown): void {
    const outcome = failureOutcome(cause, false)
    if (outcome.sense?.[2] === SENSE.INTERNAL_TARGET_FAILURE[0]) this.#events.onFault(cause)
    const excessBytes = read.sentBytes - read.totalBytes + Math.min(read.excessBytes, 0)
    sendScsiResponse(this.#channel, read.itt, outcome, { excessBytes, dataSn: read.dataSn })
  }
}
