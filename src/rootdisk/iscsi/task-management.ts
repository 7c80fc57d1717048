import { SENSE } from '../scsi/sense.js'
import type { TargetUnits } from '../scsi/target-units.js'
import { readLun, RESPONSE } from './pdu.js'
import { sendPlain } from './responses.js'
import type { Session } from './session.js'
import type { Task } from './task.js'

/** Task management functions (RFC 7143 §11.5.1) and answers (§11.6.1). */
const FUNCTION = {
  ABORT_TASK: 1,
  ABORT_TASK_SET: 2,
  CLEAR_TASK_SET: 4,
  LUN_RESET: 5,
  WARM_RESET: 6,
  COLD_RESET: 7,
  REASSIGN: 8,
}
const OF_ONE_LUN: ReadonlySet<number> = new Set([
  FUNCTION.ABORT_TASK,
  FUNCTION.ABORT_TASK_SET,
  FUNCTION.CLEAR_TASK_SET,
  FUNCTION.LUN_RESET,
])
const ANSWER = { COMPLETE: 0, NO_TASK: 1, NO_LUN: 2, REASSIGN_NOT_SUPPORTED: 4, NOT_SUPPORTED: 5 }

/** What the task management of a session reaches. */
export interface TaskManagementDeps {
  readonly session: Session
  /** `members` are the connections of every session on it, this one included. */
  readonly target: {
    readonly units: TargetUnits
    readonly members: Iterable<{ readonly session: Session | undefined }>
  }
  /** An answer was queued outside of a received chunk. */
  onOutput(): void
}

interface Request {
  readonly code: number
  readonly lun: number
  readonly referencedTag: number
  readonly cmdSn: number
  readonly refCmdSn: number
}

/** Task management of one session: aborts and resets, answered when what they ended can do no more. */
export class TaskManagement {
  readonly #deps: TaskManagementDeps

  constructor(deps: TaskManagementDeps) {
    this.#deps = deps
  }

  /** A Task Management Function Request whose header is at `at`. */
  onRequest(bytes: Buffer, at: number): void {
    const itt = bytes.readUInt32BE(at + 16)
    const { channel } = this.#deps.session
    const answer = this.#manage({
      code: (bytes[at + 1] ?? 0) & 0x7f,
      lun: readLun(bytes, at + 8),
      referencedTag: bytes.readUInt32BE(at + 20),
      cmdSn: bytes.readUInt32BE(at + 24),
      refCmdSn: bytes.readUInt32BE(at + 32),
    })
    // A command that was aborted may still be with a device: the answer says it can do no more (SAM-5 §7.1).
    void answer.then((code) => {
      if (channel.isClosed) return
      sendPlain(channel, RESPONSE.TASK_MANAGEMENT, itt, code)
      this.#deps.onOutput()
    })
  }

  async #manage(request: Request): Promise<number> {
    const { code, lun } = request
    const { units } = this.#deps.target
    if (code === FUNCTION.REASSIGN) return ANSWER.REASSIGN_NOT_SUPPORTED
    if (code === FUNCTION.WARM_RESET || code === FUNCTION.COLD_RESET) {
      await this.#abortEverywhere(() => true)
      units.resetTarget()
      return ANSWER.COMPLETE
    }
    if (!OF_ONE_LUN.has(code)) return ANSWER.NOT_SUPPORTED
    if (units.unit(lun) === undefined) return ANSWER.NO_LUN
    return this.#ofOneLun(request)
  }

  async #ofOneLun(request: Request): Promise<number> {
    const { session, target } = this.#deps
    const { code, lun } = request
    const isMeant = (task: Task): boolean => task.lun === lun
    if (code === FUNCTION.ABORT_TASK) return this.#abortTask(request)
    if (code === FUNCTION.ABORT_TASK_SET) await session.abort(session.tasks.all().filter(isMeant))
    if (code === FUNCTION.CLEAR_TASK_SET) await this.#abortEverywhere(isMeant, lun)
    if (code === FUNCTION.LUN_RESET) {
      await this.#abortEverywhere(isMeant)
      target.units.resetUnit(lun) // every session is told, this one too (SAM-5 §6.3.3)
    }
    return ANSWER.COMPLETE
  }

  async #abortTask({ lun, referencedTag, refCmdSn, cmdSn }: Request): Promise<number> {
    const { session } = this.#deps
    const task = session.tasks.get(referencedTag)
    if (task?.lun === lun) {
      await session.abort([task])
      return ANSWER.COMPLETE
    }
    return session.channel.considerReceived(refCmdSn, cmdSn) ? ANSWER.COMPLETE : ANSWER.NO_TASK
  }

  /** @param clearedLun when given, other sessions that lose commands are told that they did (SAM-5 §5.14) */
  #abortEverywhere(isMeant: (task: Task) => boolean, clearedLun?: number): Promise<unknown> {
    const sessions = [...this.#deps.target.members].flatMap((member) => member.session ?? [])
    const aborted = sessions.map((session) => {
      const tasks = session.tasks.all().filter(isMeant)
      const isForeign = session !== this.#deps.session && tasks.length > 0
      if (isForeign && clearedLun !== undefined) session.nexus.raise(clearedLun, SENSE.COMMANDS_CLEARED)
      return session.abort(tasks)
    })
    return Promise.all(aborted)
  }
}
