import { LogicalUnit } from '../../../src/rootdisk/scsi/logical-unit.js'
import type { Nexus } from '../../../src/rootdisk/scsi/nexus.js'
import type { ReservationStore } from '../../../src/rootdisk/scsi/reservation-state.js'
import type { Outcome } from '../../../src/rootdisk/scsi/sense.js'
import { TargetUnits } from '../../../src/rootdisk/scsi/target-units.js'
import { MemoryDisk } from '../../fakes/memory-disk.js'

/** Blocks of every disk of a bench. */
export const BLOCKS = 256

/** A target in memory with two LUNs, driven by CDBs. */
export class ScsiBench {
  readonly units = new TargetUnits()
  readonly disks: MemoryDisk[]
  readonly faults: unknown[] = []
  #ports = 0

  constructor(disks: readonly MemoryDisk[] = [newDisk(), newDisk()]) {
    this.disks = [...disks]
  }

  /** A bench whose LUNs have taken up what `store` keeps. */
  static async open(store?: ReservationStore, disks?: readonly MemoryDisk[]): Promise<ScsiBench> {
    const bench = new ScsiBench(disks)
    for (const [lun, disk] of bench.disks.entries()) {
      const unit = new LogicalUnit(identity(lun), disk, store)
      await unit.loadReservations()
      bench.units.addUnit(unit)
    }
    return bench
  }

  /** A session of the next initiator port, its power on already told. */
  join(port = ++this.#ports): Nexus {
    const nexus = this.units.join({ initiator: `iqn.2026-01.example:${String(port)}`, isid: '00023d000001' })
    for (const { lun } of this.units.units) nexus.take(lun)
    return nexus
  }

  /** Runs a CDB given in hex, padded with zeros. */
  async run(
    nexus: Nexus,
    cdbHex: string,
    dataOut: Uint8Array = new Uint8Array(0),
    lun = 0,
  ): Promise<Outcome> {
    const cdb = new Uint8Array(16)
    cdb.set(hex(cdbHex))
    return this.units.execute({ nexus, lun, cdb, dataOut }, (err) => this.faults.push(err))
  }

  /** As {@link run}, told by {@link brief}. */
  async tell(nexus: Nexus, cdbHex: string, dataOut?: Uint8Array, lun = 0): Promise<string> {
    return brief(await this.run(nexus, cdbHex, dataOut, lun))
  }
}

/** Names of LUN `lun`. */
export function identity(lun: number): { lun: number; serial: string; naa: string } {
  return { lun, serial: `serial-${String(lun)}`, naa: `300000000000000${String(lun)}` }
}

/** An empty disk. */
export function newDisk(): MemoryDisk {
  return new MemoryDisk(BLOCKS * 512)
}

/** Status, and sense key/code/qualifier in hex when there is sense. */
export function brief({ status, sense }: Outcome): string {
  if (sense === undefined) return String(status)
  return [sense[2] ?? 0, sense[12] ?? 0, sense[13] ?? 0].map((n) => n.toString(16)).join('/')
}

/** Bytes from hex, spaces ignored. */
export function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex')
}
