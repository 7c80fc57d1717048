import type { LunSpec, TargetSpec } from '../export.js'
import { LogicalUnit } from '../scsi/logical-unit.js'
import { TargetUnits } from '../scsi/target-units.js'

/** Something that lives on a target: a session's connection. */
export interface Member {
  readonly initiator: string
  readonly isid: string
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
  static async open<M extends Member>(spec: TargetSpec): Promise<ActiveTarget<M>> {
    const target = new ActiveTarget<M>(spec)
    try {
      for (const lun of spec.luns) target.units.add(await openLun(lun))
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

async function openLun(spec: LunSpec): Promise<LogicalUnit> {
  return new LogicalUnit(spec, await spec.open())
}
