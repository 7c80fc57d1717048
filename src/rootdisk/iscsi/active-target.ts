import type { LunSpec, TargetSpec } from '../export.js'
import { LogicalUnit } from '../scsi/logical-unit.js'
import type { PortId } from '../scsi/nexus.js'
import type { ReservationStore } from '../scsi/reservation-state.js'
import { TargetUnits } from '../scsi/target-units.js'

/** Something that lives on a target: a session's connection. */
export interface Member {
  readonly initiator: string
  readonly isid: string
}

/** Where a session sits: on whose LUNs, and as which initiator port. */
export interface Seat {
  readonly units: TargetUnits
  readonly port: PortId
}

/** A target somebody is logged in to: its devices are open, once for all its sessions. */
export class ActiveTarget<M extends Member> {
  readonly spec: TargetSpec
  readonly units = new TargetUnits()
  readonly members = new Set<M>()
  /** Its last session has gone: nobody may join any more. */
  isClosing = false

  private constructor(spec: TargetSpec) {
    this.spec = spec
  }

  /** Opens every LUN; when one cannot be opened, those that were are closed again. */
  static async open<M extends Member>(spec: TargetSpec, store: ReservationStore): Promise<ActiveTarget<M>> {
    const target = new ActiveTarget<M>(spec)
    try {
      for (const lun of spec.luns) target.units.addUnit(await openLun(lun, store))
    } catch (err) {
      await target.close()
      throw err
    }
    return target
  }

  /** Flushes and closes every device; all are tried, the first failure is thrown. */
  async close(): Promise<void> {
    const closed = this.units.units.map(async ({ device }) => {
      try {
        if (!device.isReadOnly) await device.flush()
      } finally {
        await device.close()
      }
    })
    const results = await Promise.allSettled(closed)
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
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
