import type { Logger } from 'pino'
import type { Clock } from '../../clock.js'
import type { EmitEvent, Stage } from '../../events.js'
import type { TargetSpec } from '../export.js'
import { memoryReservations, type ReservationStore } from '../scsi/reservation-state.js'
import { ActiveTarget, type Member } from './active-target.js'
import { BufferPool } from './buffer-pool.js'
import type { Leaving } from './drain.js'
import { IssuedChallenges } from './chap-login.js'
import { Connections, type ConnectionLimits } from './connections.js'
import { LOGIN_STATUS, LoginRefused } from './login-refused.js'
import { SlabPool } from './output.js'
import type { Session } from './session.js'

/** The targets of the host, as far as the portal asks. */
export interface TargetDirectory {
  find(iqn: string): TargetSpec | undefined
  list(): readonly TargetSpec[]
}

/** What a login tells whoever wants to know. */
export interface LoginNotice {
  readonly iqn: string
  readonly initiator: string
  readonly remoteAddress: string
  /** The operating system's initiator, not the boot firmware's. */
  readonly isKernel: boolean
}

/** What the portal is given by the entry file. */
export interface IscsiPortalDeps {
  readonly targets: TargetDirectory
  readonly emit: EmitEvent
  readonly clock: Clock
  readonly log: Logger
  readonly onLogin?: (notice: LoginNotice) => void
  /** Memory that reads and writes use again and again, at most 64 MiB; by default Node's. */
  readonly allocate?: ((sizeBytes: number) => Buffer) | undefined
  /** Keeps persistent reservations; without one they end with the process. */
  readonly reservations?: ReservationStore
}

/** Write data kept for reuse. */
const WRITE_MEMORY_BYTES = 32 << 20

/** A connection, as far as the portal looks at it. */
export interface Peer extends Member, Leaving {
  /** Undefined before login and in discovery. */
  readonly session: Session | undefined
  readonly iqn: string
  readonly remoteAddress: string
  readonly isKernel: boolean
  readonly isLoggedIn: boolean
  /** Closes it now. */
  destroy(): void
  /** Pings or ends it when it has been silent for long. */
  checkAlive(): void
}

/** How much a portal takes on. */
export interface PortalLimits {
  readonly connections: ConnectionLimits
  /** From accept to full feature phase. */
  readonly loginTimeoutMs: number
  readonly maxSessionsPerTarget: number
}

/** What the connections of a portal share: memory, open targets, and their voice. */
export class PortalCore {
  readonly targets: TargetDirectory
  readonly clock: Clock
  readonly loginTimeoutMs: number
  /** Shared by all connections: bytes are used up before the next read event. */
  readonly receiveBuffer = Buffer.allocUnsafeSlow(262_144)
  readonly slabs: SlabPool
  readonly buffers: BufferPool
  readonly challenges = new IssuedChallenges()
  readonly connections: Connections<Peer>
  readonly #deps: IscsiPortalDeps
  readonly #maxSessionsPerTarget: number
  readonly #reservations: ReservationStore
  readonly #active = new Map<string, Promise<ActiveTarget<Peer>>>()
  readonly #closing = new Map<string, Promise<void>>()
  #tsih = 0

  constructor(deps: IscsiPortalDeps, limits: PortalLimits) {
    this.#deps = deps
    this.slabs = new SlabPool(deps.allocate)
    this.buffers = new BufferPool(WRITE_MEMORY_BYTES, deps.allocate)
    this.connections = new Connections(limits.connections, (address) => this.#crowded(address))
    this.targets = deps.targets
    this.#reservations = deps.reservations ?? memoryReservations()
    this.clock = deps.clock
    this.loginTimeoutMs = limits.loginTimeoutMs
    this.#maxSessionsPerTarget = limits.maxSessionsPerTarget
  }

  /** A target session identifying handle, never 0. */
  nextTsih(): number {
    this.#tsih = (this.#tsih % 0xffff) + 1
    return this.#tsih
  }

  /**
   * Puts a connection on its target, opening it when it is the first. A session of the same initiator and
   * ISID is replaced at once (RFC 7143 §6.3.5), but only after nothing it had begun can still reach a disk.
   */
  async join(connection: Peer, spec: TargetSpec): Promise<ActiveTarget<Peer>> {
    const { initiator, isid } = connection
    let target = await this.#open(spec)
    while (target.isClosing) target = await this.#open(spec)
    const replaced = [...target.members].filter((each) => each.initiator === initiator && each.isid === isid)
    if (target.members.size - replaced.length >= this.#maxSessionsPerTarget) {
      throw new LoginRefused(LOGIN_STATUS.OUT_OF_RESOURCES, 'the target has as many sessions as it may')
    }
    target.members.add(connection)
    await Promise.all(replaced.map((each) => each.close()))
    return target
  }

  /** Takes a connection away; the last one on a target closes its devices. */
  leave(connection: Peer): void {
    this.connections.delete(connection)
    const iqn = connection.iqn
    const opened = this.#active.get(iqn)
    if (opened === undefined) return
    const closing = opened
      .then((target) => this.#leave(target, connection))
      .catch((err: unknown) => this.fault(err))
    const both = Promise.all([this.#closing.get(iqn), closing]).then(() => undefined)
    this.#closing.set(iqn, both)
    void both.then(() => {
      if (this.#closing.get(iqn) === both) this.#closing.delete(iqn)
    })
  }

  /** Resolves when every device that had to be closed is. */
  async settled(): Promise<void> {
    while (this.#closing.size > 0) await Promise.all(this.#closing.values())
  }

  /**
   * Brings the LUNs of open targets to what is wanted now, without touching their sessions. All are tried; the
   * first failure is thrown.
   */
  async refresh(): Promise<void> {
    const results = await Promise.allSettled(
      [...this.#active].map(async ([iqn, opened]) => {
        const spec = this.targets.find(iqn)
        if (spec !== undefined) await (await opened).refresh(spec)
      }),
    )
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  /** Targets that are open now. */
  activeIqns(): string[] {
    return [...this.#active.keys()]
  }

  loggedIn(connection: Peer): void {
    this.connections.loggedIn(connection)
    const { iqn, initiator, remoteAddress, isKernel } = connection
    if (iqn === '') return
    const stage: Stage = isKernel ? 'kernel-login' : 'iscsi-login'
    const who = isKernel ? 'the operating system' : 'the boot firmware'
    this.#emit('iscsi.login', `${initiator} logged in to ${iqn} from ${who}`, connection, stage)
    this.#deps.onLogin?.({ iqn, initiator, remoteAddress, isKernel })
  }

  loginFailed(
    connection: Peer,
    what: { initiator: string; targetName: string; check: string },
    status: number,
  ): void {
    const { initiator, targetName, check } = what
    const [who, where] = [initiator || 'an unnamed initiator', targetName || 'no target']
    const message = `login of ${who} to ${where} failed: ${check} (status ${status.toString(16).padStart(4, '0')}h)`
    const event = { kind: 'iscsi.login-failed', message, ip: connection.remoteAddress }
    this.#deps.emit(targetName === '' ? event : { ...event, iqn: targetName })
  }

  seedRead(connection: Peer): void {
    this.#emit('iscsi.seed-read', `${connection.initiator} reads its seed disk`, connection, 'seed-read')
  }

  protocolError(connection: Peer, reason: string): void {
    const who = connection.initiator || connection.remoteAddress
    this.#emit('iscsi.protocol-error', `connection of ${who} closed: ${reason}`, connection)
  }

  /** Data that is not what was sent: its PDU is rejected, its command fails. */
  dataDamaged(connection: Peer): void {
    const message = `data from ${connection.initiator} arrived damaged: the data digest does not fit`
    this.#emit('iscsi.digest-error', message, connection)
  }

  /** It does not answer: whatever it had open is ended, so that the next one finds nothing in its way. */
  lost(connection: Peer): void {
    const message = `${connection.initiator} does not answer any more: its session is ended`
    this.#emit('iscsi.lost', message, connection)
  }

  fault(err: unknown): void {
    this.#deps.log.error({ err }, 'iSCSI command failed inside the target')
  }

  #crowded(address: string): void {
    const message = `more connections than the iSCSI portal takes on, the last from ${address}`
    this.#deps.emit({ kind: 'iscsi.crowded', message, ip: address })
  }

  #emit(kind: string, message: string, connection: Peer, stage?: Stage): void {
    const { iqn, remoteAddress: ip } = connection
    const about = { kind, message, ip, ...(iqn === '' ? {} : { iqn }) }
    this.#deps.emit(stage === undefined ? about : { ...about, stage })
  }

  async #open(spec: TargetSpec): Promise<ActiveTarget<Peer>> {
    for (;;) {
      const known = this.#active.get(spec.iqn)
      if (known !== undefined) return known
      const closing = this.#closing.get(spec.iqn)
      if (closing === undefined) break
      await closing
    }
    const opened = ActiveTarget.open<Peer>(spec, this.#reservations)
    this.#active.set(spec.iqn, opened)
    try {
      return await opened
    } catch (err) {
      this.#active.delete(spec.iqn)
      throw err
    }
  }

  async #leave(target: ActiveTarget<Peer>, connection: Peer): Promise<void> {
    target.members.delete(connection)
    if (target.members.size > 0 || target.isClosing) return
    target.isClosing = true
    this.#active.delete(target.iqn)
    await target.close()
  }
}
