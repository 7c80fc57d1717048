import type { Logger } from 'pino'
import type { Clock, Timer } from '../../../clock.js'
import type { EmitEvent, Stage } from '../../../events.js'
import type { Service } from '../../../service.js'
import { LUN, shownLun } from '../driver.js'
import type { ShownNexus, ShownTarget } from './shown.js'
import type { TgtClient } from './tgt-client.js'
import type { TgtDriver } from './tgt-driver.js'

const POLL_MS = 1000
/** More than the partition table with its read-ahead, so from what lies behind it; tgtd tells no addresses. */
const TABLE_BYTES = 64 << 10
const SEED_LUN = shownLun('tgt', LUN.seed)

/** What {@link TgtWatch} needs. */
export interface TgtWatchDeps {
  readonly client: Pick<TgtClient, 'targets' | 'reads'>
  readonly driver: Pick<TgtDriver, 'isBehind'>
  readonly isOurs: (iqn: string) => boolean
  /** Called when tgtd is there, and each time that it is back or has lost its targets. */
  readonly onUp: () => Promise<void>
  /** Whether the boot in progress of the server with this target has reached a stage. */
  readonly hasReached: (iqn: string, stage: Stage) => boolean
  readonly emit: EmitEvent
  readonly clock: Clock
  readonly log: Logger
}

/**
 * Looks at tgtd once a second, since it tells nobody anything: brings it to what is wished when it was started anew,
 * and makes events of the sessions that it shows. A login that begins and ends between two looks is not seen, and a
 * refused one is in tgtd's own log only.
 */
export class TgtWatch implements Service {
  readonly name = 'tgt'
  readonly #deps: TgtWatchDeps
  /** Sessions that have been told; undefined before the first look, whose sessions are not new. */
  #known: Set<string> | undefined
  #isUp = false
  #isStopped = false
  #timer: Timer | undefined
  #looking: Promise<void> = Promise.resolve()

  constructor(deps: TgtWatchDeps) {
    this.#deps = deps
  }

  async start(): Promise<void> {
    await this.look()
    this.#next()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#timer?.cancel()
    await this.#looking
  }

  /** One look. Never rejects: a tgtd that is away is waited for. */
  async look(): Promise<void> {
    const { client, driver, isOurs, log } = this.#deps
    try {
      const shown = await client.targets()
      if (!this.#isUp || driver.isBehind(shown)) await this.#cameUp()
      else await this.#tell(shown.filter(({ iqn }) => isOurs(iqn)))
    } catch (err) {
      if (this.#isUp) log.error({ err }, 'tgtd is gone')
      else log.debug({ err }, 'tgtd is not there')
      this.#isUp = false
      if (this.#known !== undefined) this.#known = new Set()
    }
  }

  #next(): void {
    if (this.#isStopped) return
    this.#timer = this.#deps.clock.after(POLL_MS, () => {
      this.#looking = this.look().then(() => this.#next())
    })
  }

  async #cameUp(): Promise<void> {
    await this.#deps.onUp()
    this.#isUp = true
    this.#deps.log.info('tgtd serves what is wished')
  }

  async #tell(targets: readonly ShownTarget[]): Promise<void> {
    const known = this.#known
    const sessions = targets.flatMap((target) => target.nexuses.map((nexus) => ({ target, nexus })))
    this.#known = new Set(sessions.map(({ target, nexus }) => keyOf(target, nexus)))
    for (const { target, nexus } of sessions) {
      if (known !== undefined && !known.has(keyOf(target, nexus))) this.#toldLogin(target.iqn, nexus)
    }
    for (const target of targets) if (this.#isSeedAwaited(target)) await this.#tellSeedRead(target)
  }

  /** tgtd does not show who an initiator is: of a boot's sessions the firmware's is the first. */
  #toldLogin(iqn: string, { initiator, address }: ShownNexus): void {
    const stages = ['iscsi-login', 'kernel-login'] as const
    const stage = stages.find((one) => !this.#deps.hasReached(iqn, one))
    const message = `${initiator} logged in to ${iqn}`
    const event = { kind: 'iscsi.login', message, iqn, ip: address }
    this.#deps.emit(stage === undefined ? event : { ...event, stage })
  }

  #isSeedAwaited({ iqn, nexuses }: ShownTarget): boolean {
    const { hasReached } = this.#deps
    return nexuses.length > 0 && hasReached(iqn, 'kernel-login') && !hasReached(iqn, 'seed-read')
  }

  async #tellSeedRead({ iqn, tid, nexuses }: ShownTarget): Promise<void> {
    const reads = await this.#deps.client.reads(tid)
    const reader = reads.find(({ lun, bytes }) => lun === SEED_LUN && bytes > TABLE_BYTES)
    const nexus = nexuses.find(({ id }) => id === reader?.nexus)
    if (nexus === undefined) return
    const message = `${nexus.initiator} reads its seed disk`
    this.#deps.emit({ kind: 'iscsi.seed-read', message, iqn, ip: nexus.address, stage: 'seed-read' })
  }
}

function keyOf({ iqn, tid }: ShownTarget, { id }: ShownNexus): string {
  return `${iqn} ${tid} ${id}`
}
