import type { SenseCode } from './sense.js'

/** An initiator port as reservations know it: iSCSI name and ISID, 12 hex digits (SPC-4 §7.6.4.6). */
export interface PortId {
  readonly initiator: string
  readonly isid: string
}

/** Whether both are one initiator port: it keeps its reservations over a new login. */
export function isSamePort(a: PortId, b: PortId): boolean {
  return a.initiator === b.initiator && a.isid === b.isid
}

/**
 * What a target keeps per initiator session (I_T nexus, SAM-5 §4.7): unit attention conditions not told yet.
 * `hasAttention` lets the fast path skip the look-up.
 */
export class Nexus implements PortId {
  readonly initiator: string
  readonly isid: string
  hasAttention = false
  /** Aborts its commands for a LUN; resolves when none of them can still reach a device. Set by its session. */
  abortTasks: (lun: number) => Promise<void> = () => Promise.resolve()
  readonly #pending = new Map<number, SenseCode[]>()

  constructor(port: PortId) {
    this.initiator = port.initiator
    this.isid = port.isid
  }

  /** Establishes a unit attention for `lun`; one of a kind is kept. */
  raise(lun: number, code: SenseCode): void {
    const codes = this.#pending.get(lun) ?? []
    if (!codes.includes(code)) codes.push(code)
    this.#pending.set(lun, codes)
    this.hasAttention = true
  }

  /** The oldest unit attention of `lun`, cleared by telling it (SAM-5 §5.14). */
  take(lun: number): SenseCode | undefined {
    const codes = this.#pending.get(lun)
    const code = codes?.shift()
    if (codes?.length === 0) this.forget(lun)
    this.hasAttention = this.#pending.size > 0
    return code
  }

  /** Nothing is told of a LUN that has gone. */
  forget(lun: number): void {
    this.#pending.delete(lun)
    this.hasAttention = this.#pending.size > 0
  }

  /** REPORT LUNS tells what the unit attention would have (SPC-4 §6.33). */
  clear(lun: number, code: SenseCode): void {
    const codes = this.#pending.get(lun)?.filter((each) => each !== code) ?? []
    if (codes.length === 0) this.forget(lun)
    else this.#pending.set(lun, codes)
  }
}
