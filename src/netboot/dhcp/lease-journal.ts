import type { Logger } from 'pino'
import type { Clock, Timer } from '../../clock.js'
import { DaemonError } from '../../errors.js'
import type { EmitEvent } from '../../events.js'
import type { LeaseChange, LeaseRecord } from '../../registry/records.js'
import type { Service } from '../../service.js'
import { MalformedPacket } from '../../wire/malformed-packet.js'
import { decodeJournal, encodeRecord, type JournalContents } from './journal-codec.js'
import type { JournalFiles } from './journal-files.js'
import { LeaseChanges, withChanges } from './lease-changes.js'
import type { LeaseStore } from './lease-store.js'

/** A file of this size holds some 100,000 leases, which a start reads in less than a second. */
const FILE_BYTES = 4 << 20
/** How long the registry's table may lag behind the journal. */
const CHECKPOINT_MS = 30_000
/** Rows written at once: a millisecond of the event loop. */
const SLICE = 128
/** Leases that wait for a disk that hangs; more is not promised. */
const MAX_WAITING = 16_384

/** The registry's lease table as the journal uses it. */
export interface LeaseTable {
  all(): readonly LeaseRecord[]
  findByIp(ip: string): LeaseRecord | undefined
  /** @param isDurable else it has to survive the process only */
  apply(changes: readonly LeaseChange[], isDurable: boolean): void
}

/** What the journal needs from the rest of the daemon. */
export interface LeaseJournalDeps {
  readonly files: Pick<JournalFiles, 'list' | 'read' | 'append' | 'finish' | 'remove' | 'sizeBytes'>
  readonly table: LeaseTable
  readonly clock: Clock
  readonly emit: EmitEvent
  readonly log: Logger
  /** Default 4 MiB. */
  readonly fileBytes?: number
}

interface Waiting {
  readonly change: LeaseChange
  readonly done: ((cause?: Error) => void) | undefined
}

/**
 * The write-ahead log of the registry's lease table, with group commit: while one write is on its way to disk the
 * next leases gather, and go together. Now and then (by size, by age, at the end) what the files hold is brought
 * into the table, a slice at a time, and the files are removed.
 */
export class LeaseJournal implements Service, LeaseStore {
  readonly name = 'leases'

  readonly #deps: LeaseJournalDeps
  #gathering: Waiting[] = []
  #isWriting = false
  #isFailing = false
  #isDue = false
  #isRead = false
  /** On disk in files, not in the table: those of finished files that are being brought there, and those since. */
  #settling = new LeaseChanges()
  #changes = new LeaseChanges()
  #finished: readonly string[] = []
  #settled: Promise<void> | undefined
  #timer: Timer | undefined
  #onIdle: (() => void) | undefined

  constructor(deps: LeaseJournalDeps) {
    this.#deps = deps
  }

  /** Reads what an earlier process left: from now on {@link all} is right. @throws DaemonError REGISTRY_DAMAGED */
  async read(): Promise<void> {
    const { files, clock, log } = this.#deps
    const startMs = clock.monotonicMs()
    this.#finished = await files.list()
    for (const path of this.#finished) this.#replay(path, await files.read(path))
    this.#isRead = true
    if (this.#finished.length === 0) return
    const tookMs = Math.round(clock.monotonicMs() - startMs)
    log.info({ leases: this.#changes.size, files: this.#finished.length, tookMs }, 'lease journal read')
  }

  /** @throws DaemonError REGISTRY_DAMAGED */
  async start(): Promise<void> {
    if (!this.#isRead) await this.read()
    if (this.#finished.length > 0) this.#checkpoint()
  }

  /** Saves what waits, then brings everything into the table. */
  async stop(): Promise<void> {
    if (this.#isWriting) await new Promise<void>((resolve) => (this.#onIdle = resolve))
    await this.#settled
    this.#checkpoint()
    await this.#settled
    this.#timer?.cancel()
    this.#timer = undefined
    this.#isRead = false
  }

  all(): Iterable<LeaseRecord> {
    return withChanges(this.#deps.table.all(), [...this.#settling, ...this.#changes])
  }

  /** As far as it is on disk. */
  find(ip: string): LeaseRecord | undefined {
    const change = this.#changes.get(ip) ?? this.#settling.get(ip)
    return change === undefined ? this.#deps.table.findByIp(ip) : change[1]
  }

  save(lease: LeaseRecord, done: (cause?: Error) => void): void {
    if (this.#gathering.length < MAX_WAITING) this.#gather({ change: [lease.ip, lease], done })
    else setImmediate(done, new Error('too many leases wait for the disk'))
  }

  remove(ip: string): void {
    if (this.#gathering.length < MAX_WAITING) this.#gather({ change: [ip, undefined], done: undefined })
  }

  #replay(path: string, file: Buffer): void {
    const { changes, tornBytes } = decodeFile(path, file)
    for (const change of changes) this.#changes.add(change)
    if (tornBytes === 0) return
    this.#deps.log.warn(
      { file: path, tornBytes },
      'the end of a lease journal is torn: a write nobody was told of',
    )
  }

  // What comes in the same turn of the event loop goes together.
  #gather(waiting: Waiting): void {
    this.#gathering.push(waiting)
    if (this.#isWriting) return
    this.#isWriting = true
    setImmediate(() => this.#write())
  }

  #write(): void {
    const batch = this.#gathering
    this.#gathering = []
    this.#deps.files.append(encodeRecord(batch.map(({ change }) => change)), (err) => {
      if (err === null) this.#saved(batch)
      else this.#unsaved(batch, err)
      this.#goOn()
    })
  }

  // Only here, between two writes, may a file end.
  #goOn(): void {
    const { files, fileBytes = FILE_BYTES } = this.#deps
    if (this.#isDue || files.sizeBytes >= fileBytes) this.#checkpoint()
    if (this.#gathering.length > 0) {
      this.#write()
      return
    }
    this.#isWriting = false
    this.#onIdle?.()
  }

  #saved(batch: readonly Waiting[]): void {
    for (const { change } of batch) this.#changes.add(change)
    this.#timer ??= this.#deps.clock.after(CHECKPOINT_MS, () => this.#due())
    if (this.#isFailing) {
      this.#isFailing = false
      this.#deps.emit({ kind: 'dhcp.leases-saved', message: 'DHCP leases can be saved again' })
    }
    for (const { done } of batch) done?.()
  }

  #unsaved(batch: readonly Waiting[], cause: Error): void {
    if (!this.#isFailing) {
      this.#isFailing = true
      this.#deps.log.error({ err: cause }, 'DHCP leases cannot be saved')
      const message = `no client is given an address, since leases cannot be saved: ${cause.message}`
      this.#deps.emit({ kind: 'dhcp.leases-unsaved', message })
    }
    for (const { done } of batch) done?.(cause)
  }

  #due(): void {
    this.#isDue = true
    if (!this.#isWriting) this.#checkpoint()
  }

  #checkpoint(): void {
    if (this.#settled !== undefined) return
    this.#isDue = false
    this.#timer?.cancel()
    this.#timer = undefined
    if (this.#settling.size === 0) {
      this.#settling = this.#changes
      this.#changes = new LeaseChanges()
      this.#finished = [...this.#finished, ...this.#deps.files.finish()]
    }
    this.#settled = this.#settle().finally(() => (this.#settled = undefined))
  }

  async #settle(): Promise<void> {
    const { table, files, clock, log } = this.#deps
    try {
      const changes = [...this.#settling]
      for (let at = 0; at < changes.length; at += SLICE) {
        table.apply(changes.slice(at, at + SLICE), at + SLICE >= changes.length)
        await new Promise((resolve) => setImmediate(resolve))
      }
      await files.remove(this.#finished)
      this.#settling = new LeaseChanges()
      this.#finished = []
    } catch (err) {
      log.warn({ err }, 'the lease journal cannot be brought into the registry now')
      this.#timer = clock.after(CHECKPOINT_MS, () => this.#due())
    }
  }
}

function decodeFile(path: string, file: Buffer): JournalContents {
  try {
    return decodeJournal(file)
  } catch (err) {
    if (!(err instanceof MalformedPacket)) throw err
    const what = `${path} is damaged, restore it or move it away: ${err.message}`
    throw new DaemonError('REGISTRY_DAMAGED', what, { cause: err })
  }
}
