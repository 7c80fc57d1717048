import type { Logger } from 'pino'
import type { Clock } from '../../clock.js'
import type { EmitEvent } from '../../events.js'
import type { BootFile } from '../boot-files.js'
import { limitEvents } from '../../event-limiter.js'
import type { BlockCaps } from './block-caps.js'
import type { SessionEnd, TransferSession } from './transfer-session.js'
import type { TransferSlot } from './transfer-slots.js'
import { toldName } from '../told-name.js'

/** Numbers for metrics, since the start. */
export interface TftpCounters {
  requests: number
  completed: number
  failed: number
  refused: number
  dropped: number
  malformed: number
}

/** A file found for a request; `isVirtual` is one made for the machine. */
export interface OpenedFile {
  readonly file: BootFile
  readonly isVirtual: boolean
}

/** What reports are made of. */
export interface TransferReportDeps {
  readonly counters: TftpCounters
  readonly caps: BlockCaps
  readonly emit: EmitEvent
  readonly clock: Clock
  readonly log: Logger
}

/** First-stage programs; what they fetch next (GRUB modules, scripts) is no step of its own. */
const LOADER_NAME = /\.(?:k?k?pxe|efi|0)$/

/** Tells how transfers ended: counters, events, one log line, and what is to be learned for the client's next try. */
export class TransferReport {
  readonly #deps: TransferReportDeps
  readonly #emitBounded: EmitEvent

  constructor(deps: TransferReportDeps) {
    this.#deps = deps
    this.#emitBounded = limitEvents(deps.emit, deps.clock)
  }

  /** A transfer is over; its socket is closed. */
  ended(slot: TransferSlot, opened: OpenedFile, session: TransferSession, end: SessionEnd): void {
    this.#learn(slot, session, end)
    if (end.outcome === 'cancelled' || end.outcome === 'probed') return
    if (end.outcome === 'complete') this.#completed(slot, opened, session)
    else this.#failed(slot, session, end)
  }

  /** Nothing of that name, or nothing that a client may have. */
  notFound(filename: string, ip: string): void {
    const message = `no boot file ${printable(filename)} in the loader directories`
    this.#emitBounded({ kind: 'tftp.not-found', message, ip })
  }

  /** Silence makes the client ask again later, when there may be room. */
  full(limit: string, ip: string): void {
    this.#deps.counters.dropped++
    this.#emitBounded({ kind: 'tftp.full', message: `TFTP transfers are at their limit of ${limit}`, ip })
  }

  #completed(slot: TransferSlot, { file, isVirtual }: OpenedFile, session: TransferSession): void {
    const { counters, emit, clock, log } = this.#deps
    counters.completed++
    const name = printable(slot.filename)
    const ms = Math.max(1, Math.round(clock.monotonicMs() - slot.sinceMs))
    const pace = (file.sizeBytes / 1000 / ms).toFixed(1)
    const { blksize, windowsize } = session.negotiated
    const message = `${name} sent: ${file.sizeBytes} bytes in ${ms} ms, ${pace} MB/s, ${blksize} bytes a block, window ${windowsize}`
    log.info({ ip: slot.ip }, message)
    if (!isVirtual && LOADER_NAME.test(name)) {
      emit({ kind: 'tftp.sent', stage: 'loader', message: `loader ${message}`, ip: slot.ip })
    }
  }

  #failed(slot: TransferSlot, session: TransferSession, { outcome, words, cause }: SessionEnd): void {
    const { counters, log } = this.#deps
    counters.failed++
    if (cause !== undefined) log.warn({ err: cause, ip: slot.ip }, 'transfer failed')
    const said = words === undefined ? '' : `, the client said: ${printable(words)}`
    const message = `transfer of ${printable(slot.filename)} ${outcome} after ${session.ackedBytes} bytes${said}`
    this.#emitBounded({ kind: 'tftp.failed', message, ip: slot.ip })
  }

  #learn({ ip, filename }: TransferSlot, session: TransferSession, { outcome }: SessionEnd): void {
    const { caps, clock } = this.#deps
    const { blksize } = session.negotiated
    const nowMs = clock.monotonicMs()
    if (session.ackedBytes > 0 || outcome === 'complete') {
      caps.delivered(ip)
      return
    }
    const isInVain = outcome === 'aborted' || outcome === 'timed-out' || session.isStuck
    const smaller = isInVain
      ? caps.failed(ip, blksize, nowMs)
      : outcome === 'probed'
        ? caps.probed(ip, filename, blksize, nowMs)
        : undefined
    if (smaller === undefined) return
    const message = `nothing came of ${printable(filename)} in blocks of ${blksize} bytes: this client gets ${smaller} from now on`
    this.#emitBounded({ kind: 'tftp.smaller-blocks', message, ip })
  }
}

function printable(name: string): string {
  return toldName(name)
    .slice(0, 64)
    .replace(/[^\x20-\x7e]/g, '?')
}
