import { MalformedPacket } from '../../wire/malformed-packet.js'
import { readRange } from '../scsi/block-range.js'
import { BLOCK_BYTES, MAX_TRANSFER_BLOCKS } from '../scsi/logical-unit.js'
import type { Nexus } from '../scsi/nexus.js'
import { checkCondition, SENSE, STATUS, type Outcome } from '../scsi/sense.js'
import type { TargetUnits } from '../scsi/target-units.js'
import type { Seat } from './active-target.js'
import type { BufferPool } from './buffer-pool.js'
import type { Channel } from './channel.js'
import { checkBurst, checkDataOut, excessOut } from './data-out.js'
import { readLun, REQUEST } from './pdu.js'
import { isPlainRead } from './plain-read.js'
import { Reads } from './reads.js'
import { sendOutcome, sendR2t } from './responses.js'
import type { SessionEvents } from './session-events.js'
import { devicesDone, Task, TaskSet, wantedData } from './task.js'
import { WriteMemory } from './write-memory.js'

const MAX_TRANSFER_BYTES = MAX_TRANSFER_BLOCKS * BLOCK_BYTES
/** Write data that R2Ts may ask for at a time, per session. */
const MAX_SOLICITED_BYTES = 16 << 20
const FINAL = 0x80

/** The SCSI side of a session: commands, their data both ways, and their answers. */
export class Session {
  readonly nexus: Nexus
  readonly tasks = new TaskSet()
  readonly channel: Channel
  readonly #units: TargetUnits
  readonly #memory: WriteMemory
  readonly #events: SessionEvents
  readonly #range = { lba: 0, blocks: 0 }
  readonly #reads: Reads
  readonly #waiting: Task[] = []
  /** Commands with all their data whose device has enough to do. */
  readonly #ready: Task[] = []
  #solicitedBytes = 0
  #nextTtt = 1
  #incoming: Task | undefined

  constructor(channel: Channel, seat: Seat, buffers: BufferPool, events: SessionEvents) {
    this.channel = channel
    this.#units = seat.units
    this.nexus = seat.units.join(seat.port)
    this.nexus.abortTasks = (lun) => this.abort(this.tasks.all().filter((task) => task.lun === lun))
    this.#memory = new WriteMemory(buffers)
    this.#events = events
    this.#reads = new Reads(channel, this.tasks, {
      onFault: (err) => events.onFault(err),
      onOutput: () => {
        this.#runNext()
        events.onOutput()
      },
    })
  }

  /** Where the immediate data of the command at `at` goes. */
  placeImmediate(bytes: Buffer, at: number, length: number): Uint8Array | undefined {
    if (!this.channel.accept(bytes, at)) return undefined
    const task = this.#begin(bytes, at)
    this.#incoming = task
    const { immediateData, firstBurstLength } = this.channel.parameters
    if (!immediateData || length > firstBurstLength || length > task.expectedBytes || !task.isWrite) {
      throw new MalformedPacket('iSCSI command', 5, `${length} bytes of immediate data are not allowed here`)
    }
    task.receivedBytes = Math.min(length, task.wantedBytes)
    return length <= task.wantedBytes ? task.dataOut : undefined
  }

  /** A SCSI Command PDU is complete. */
  onCommand(bytes: Buffer, at: number): void {
    const hasData = bytes.readUInt32BE(at + 4) % 0x1000000 > 0
    if (hasData) {
      const task = this.#incoming
      this.#incoming = undefined
      if (task !== undefined) this.#afterCommand(task, ((bytes[at + 1] ?? 0) & FINAL) !== 0)
      return
    }
    if (!this.channel.accept(bytes, at) || this.#readAtOnce(bytes, at)) return
    this.#afterCommand(this.#begin(bytes, at), ((bytes[at + 1] ?? 0) & FINAL) !== 0)
  }

  /** Where the data of a Data-Out PDU goes; undefined when its task is gone. */
  placeDataOut(bytes: Buffer, at: number, length: number): Uint8Array | undefined {
    const task = this.tasks.get(bytes.readUInt32BE(at + 16))
    if (task?.dataOut === undefined || task.isRunning || task.isReady) return undefined
    checkDataOut(task, bytes, at, length)
    return task.dataOut.subarray(task.receivedBytes, task.receivedBytes + length)
  }

  /** A Data-Out PDU is complete. */
  onDataOut(bytes: Buffer, at: number): void {
    const task = this.tasks.get(bytes.readUInt32BE(at + 16))
    if (task?.dataOut === undefined || task.isRunning || task.isReady) return
    const length = bytes.readUIntBE(at + 5, 3)
    if (length === 0) checkDataOut(task, bytes, at, 0)
    task.receivedBytes += length
    task.dataSn++
    const isFinal = ((bytes[at + 1] ?? 0) & FINAL) !== 0
    checkBurst(task, isFinal)
    if (isFinal) this.#burstEnded(task)
  }

  /** The data of this command or Data-Out is not what was sent: it goes on to its end, and fails. */
  onDamaged(bytes: Buffer): void {
    const isCommand = ((bytes[0] ?? 0) & 0x3f) === REQUEST.SCSI_COMMAND
    const task = isCommand ? this.#incoming : this.tasks.get(bytes.readUInt32BE(16))
    if (task !== undefined) task.refusal ??= checkCondition(SENSE.PROTOCOL_SERVICE_CRC_ERROR)
    if (isCommand) this.onCommand(bytes, 0)
    else this.onDataOut(bytes, 0)
  }

  /** Forgets these tasks: none will be answered. Resolves when no device works for any of them. */
  abort(tasks: readonly Task[]): Promise<void> {
    for (const task of tasks) {
      task.isAborted = true
      if (!task.isRunning) this.#release(task)
    }
    return devicesDone(tasks)
  }

  /** Resolves when every command that has all its data now is answered. */
  async answered(): Promise<void> {
    const mine = [...this.tasks.running(), ...this.#ready]
    const isOpen = (task: Task): boolean => task.isRunning || this.tasks.get(task.itt) === task
    while (mine.some(isOpen)) await devicesDone(this.tasks.running())
  }

  /** Ends everything; resolves when no device works for this session. */
  async end(): Promise<void> {
    this.channel.isClosed = true
    const running = this.tasks.running()
    await this.abort(this.tasks.all())
    await devicesDone(running)
    this.#units.leave(this.nexus) // not before: what it had reserved could still be written by it
  }

  #begin(bytes: Buffer, at: number): Task {
    const task = this.#open(bytes, at, readLun(bytes, at + 8))
    if (task.isWrite && task.expectedBytes > 0 && task.expectedBytes <= MAX_TRANSFER_BYTES) {
      const firstBurst = Math.min(task.expectedBytes, this.channel.parameters.firstBurstLength)
      task.dataOut = this.#memory.take(task.expectedBytes, firstBurst)
      if (task.dataOut === undefined) task.refusal = { status: STATUS.BUSY }
      else task.wantedBytes = task.expectedBytes
      task.burstEnd = firstBurst
    } else if (task.isWrite && task.expectedBytes > 0)
      task.refusal = checkCondition(SENSE.INVALID_FIELD_IN_CDB)
    return task
  }

  #afterCommand(task: Task, isFinal: boolean): void {
    if (isFinal || task.wantedBytes === task.receivedBytes) this.#solicit(task)
    else if (this.channel.parameters.initialR2t) {
      throw new MalformedPacket('iSCSI command', 1, 'unsolicited data was not negotiated')
    }
  }

  #burstEnded(task: Task): void {
    this.#solicitedBytes -= task.solicitedBytes
    task.solicitedBytes = 0
    this.#solicit(task)
    this.#askNext()
  }

  #askNext(): void {
    const next = this.#waiting.shift()
    if (next !== undefined && !next.isAborted) this.#solicit(next)
  }

  #solicit(task: Task): void {
    if (task.refusal !== undefined) {
      this.#answer(task, task.refusal)
      return
    }
    if (task.receivedBytes === task.wantedBytes) {
      this.#run(task)
      return
    }
    const isAlone = this.#solicitedBytes === 0 && !this.tasks.isBusy // then nothing would wake it
    if (this.#solicitedBytes > MAX_SOLICITED_BYTES || !this.#memory.fit(task, isAlone)) {
      this.#waiting.push(task)
      return
    }
    const length = Math.min(this.channel.parameters.maxBurstLength, task.wantedBytes - task.receivedBytes)
    task.ttt = this.#nextTtt
    this.#nextTtt = (this.#nextTtt % 0x7fffffff) + 1
    task.dataSn = 0
    task.solicitedBytes = length
    this.#solicitedBytes += length
    task.burstEnd = task.receivedBytes + length
    sendR2t(this.channel, task, task.receivedBytes, length)
    task.r2tSn++
  }

  /** Hands the device what waits for it, as much as one session may have with it. */
  #runNext(): void {
    this.#askNext()
    while (!this.tasks.isFull) {
      const task = this.#ready.shift()
      if (task === undefined) return
      if (!task.isAborted) this.#run(task)
    }
  }

  #run(task: Task): void {
    if (this.tasks.isFull) {
      task.isReady = true
      this.#ready.push(task)
      return
    }
    const dataOut = wantedData(task)
    const request = { nexus: this.nexus, lun: task.lun, cdb: task.cdb, dataOut }
    const outcome = this.#units.execute(request, (err) => this.#events.onFault(err))
    if (!(outcome instanceof Promise)) {
      this.#answer(task, outcome)
      return
    }
    this.tasks.start(task)
    void outcome.then((later) => {
      this.tasks.finish(task)
      this.#answer(task, later)
      this.#runNext()
      this.#events.onOutput()
    })
  }

  #answer(task: Task, outcome: Outcome): void {
    this.#release(task)
    if (task.isAborted || this.channel.isClosed) return
    const expectedInBytes = task.isRead ? task.expectedBytes : 0
    const command = {
      itt: task.itt,
      expectedInBytes,
      excessOutBytes: excessOut(task, outcome),
      dataSn: task.r2tSn,
    }
    sendOutcome(this.channel, command, outcome)
  }

  #release(task: Task): void {
    if (this.tasks.get(task.itt) !== task) return
    this.tasks.remove(task)
    this.#solicitedBytes -= task.solicitedBytes
    if (!task.isImmediate) this.channel.commandEnded(this.#ready.length > 0)
    if (task.dataOut !== undefined) this.#memory.give(task.dataOut)
    task.dataOut = undefined
    this.#askNext()
  }

  /** The fast path: READ from a unit that is there, in range, nothing else to be told. */
  #readAtOnce(bytes: Buffer, at: number): boolean {
    const lun = readLun(bytes, at + 8)
    const unit = this.#units.unit(lun)
    if (unit === undefined || this.nexus.hasAttention || unit.isRestricted || this.tasks.isFull) return false
    if (!isPlainRead(bytes, at)) return false
    const range = this.#range
    readRange(bytes, at + 32, range)
    if (range.blocks === 0 || range.blocks > MAX_TRANSFER_BLOCKS) return false
    if (!unit.hasRange(range.lba, range.blocks)) return false
    this.#events.onRead(lun, range.lba)
    const asked = range.blocks * BLOCK_BYTES
    const expectedBytes = bytes.readUInt32BE(at + 20)
    const read = {
      itt: bytes.readUInt32BE(at + 16),
      offset: range.lba * BLOCK_BYTES,
      totalBytes: Math.min(asked, expectedBytes),
      excessBytes: asked - expectedBytes,
      sentBytes: 0,
      dataSn: 0,
    }
    this.#reads.start(unit, read, () => this.#open(bytes, at, lun))
    return true
  }

  #open(bytes: Buffer, at: number, lun: number): Task {
    const task = new Task(bytes, at, lun)
    if (this.tasks.get(task.itt) !== undefined) {
      throw new MalformedPacket('iSCSI command', 16, 'the initiator task tag is in use')
    }
    this.tasks.add(task)
    if (!task.isImmediate) this.channel.openCommands++
    return task
  }
}
