import type { LunSpec, TargetSpec } from '../export.js'
import { LogicalUnit } from '../scsi/logical-unit.js'
import type { PortId } from '../scsi/nexus.js'
import type { ReservationStore } from '../scsi/reservation-state.js'
import { TargetUnits } from '../scsi/target-units.js'

/** Something that lives on a target: a session's connection. */
export interface Member {
  readonly initiator: string
  readonly isid: string
  /** Undefined before login and in discovery. */
  readonly session: { answered(): Promise<void> } | undefined
}

/** Where a session sits: on whose LUNs, and as which initiator port. */
export interface Seat {
  readonly units: TargetUnits
  readonly port: PortId
}

/** A target somebody is logged in to: its devices are open, once for all its sessions. */
export class ActiveTarget<M extends Member> {
  readonly iqn: string
  readonly units = new TargetUnits()
  readonly members = new Set<M>()
  /** Its last session has gone: nobody may join any more. */
  isClosing = false
  readonly #store: ReservationStore
  /** What each unit was opened as, and what was last told of it. */
  readonly #open = new Map<number, { readonly naa: string; told: Told }>()
  #turn: Promise<void> = Promise.resolve()

  private constructor(iqn: string, store: ReservationStore) {
    this.iqn = iqn
    this.#store = store
  }

  /** Opens every LUN; when one cannot be opened, those that were are closed again. */
  static async open<M extends Member>(spec: TargetSpec, store: ReservationStore): Promise<ActiveTarget<M>> {
    const target = new ActiveTarget<M>(spec.iqn, store)
    try {
      for (const lun of spec.luns) await target.#add(lun)
    } catch (err) {
      await target.close()
      throw err
    }
    return target
  }

  /**
   * Brings the LUNs to what `spec` says, under its sessions, which are told by unit attentions. A LUN is another
   * one when its identifier is. One refresh at a time; rejects when a new LUN cannot be opened.
   */
  refresh(spec: TargetSpec): Promise<void> {
    const done = this.#turn.then(() => (this.isClosing ? undefined : this.#refresh(spec)))
    this.#turn = done.catch(() => undefined)
    return done
  }

  /** Flushes and closes every device; all are tried, the first failure is thrown. */
  async close(): Promise<void> {
    this.isClosing = true
    await this.#turn
    const results = await Promise.allSettled(this.units.units.map((unit) => closeUnit(unit)))
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  async #refresh(spec: TargetSpec): Promise<void> {
    const wanted = new Map(spec.luns.map((lun) => [lun.lun, lun]))
    for (const [lun, { naa }] of [...this.#open]) {
      if (wanted.get(lun)?.naa !== naa) await this.#remove(lun)
    }
    for (const lun of spec.luns) {
      if (!this.#open.has(lun.lun)) await this.#add(lun)
    }
    for (const [lun, open] of this.#open) {
      const unit = this.units.unit(lun)
      if (unit === undefined) continue
      const now = toldOf(unit)
      if (now.sizeBytes !== open.told.sizeBytes) this.units.capacityChanged(lun)
      if (now.revision !== open.told.revision) this.units.mediumChanged(lun)
      open.told = now
    }
  }

  async #add(spec: LunSpec): Promise<void> {
    const unit = await openLun(spec, this.#store)
    this.#open.set(spec.lun, { naa: spec.naa, told: toldOf(unit) })
    this.units.addUnit(unit)
  }

  /** New commands find no such LUN; its device is closed when those under way are answered. */
  async #remove(lun: number): Promise<void> {
    this.#open.delete(lun)
    const unit = this.units.removeUnit(lun)
    await Promise.all([...this.members].flatMap((member) => member.session?.answered() ?? []))
    if (unit !== undefined) await closeUnit(unit)
  }
}

/** What sessions are told when it changes. */
interface Told {
  readonly sizeBytes: number
  readonly revision: number | undefined
}

function toldOf({ device: { sizeBytes, revision } }: LogicalUnit): Told {
  return { sizeBytes, revision }
}

async function closeUnit({ device }: LogicalUnit): Promise<void> {
  try {
    if (!device.isReadOnly) await device.flush()
  } finally {
    await device.close()
  }
}

async function openLun(spec: LunSpec, store: ReservationStore): Promise<LogicalUnit> {
  const device = await spec.open()
  const unit = new LogicalUnit(spec, device, store)
  try {
    await unit.loadReservations()
    return unit
  } catch (err) {
    await device.close()
    throw err
  }
}
