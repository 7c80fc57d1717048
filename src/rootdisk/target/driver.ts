import { DaemonError } from '../../errors.js'

/** What serves the disks to the servers, chosen by `target.driver`. */
export type DriverName = 'embedded' | 'tgt'

/** What a target said when it had followed the registry. */
export interface Followed {
  /** Volumes that it could not bring to what is wished; the others are. */
  readonly failed: readonly { readonly volumeId: string; readonly message: string }[]
}

/** An initiator that is logged in. */
export interface TargetSession {
  readonly iqn: string
  readonly initiator: string
  readonly remoteAddress: string
}

/**
 * A target behind which the disks are. The wish is the registry: a target is created, updated or deleted by
 * committing the record and calling `reload`, so a crash in between leaves nothing that the next call does not mend.
 */
export interface TargetDriver {
  /** Brings targets, LUNs and secrets to the registry's; sessions of other targets go on. @throws DaemonError TARGET_UNAVAILABLE */
  reload(): Promise<Followed>
  /** Who is logged in. @throws DaemonError TARGET_UNAVAILABLE */
  sessions(): Promise<readonly TargetSession[]>
}

/**
 * For what only layers and their own target can do.
 * @param what it is, as in `a snapshot`
 * @throws DaemonError UNSUPPORTED with another target
 */
export function expectEmbedded(driver: DriverName, what: string): void {
  if (driver === 'embedded') return
  throw new DaemonError('UNSUPPORTED', `${what} needs target.driver = "embedded", and it is "${driver}"`)
}

/** LUNs as the registry counts them; data volumes have those from 2 on. */
export const LUN = { system: 0, seed: 1 } as const

/** tgtd keeps LUN 0 for a controller of its own, so every disk is one further. */
const FIRST_LUN = { embedded: 0, tgt: 1 } as const satisfies Record<DriverName, number>

/** The LUN under which an initiator finds what the registry counts as `lun`. */
export function shownLun(driver: DriverName, lun: number): number {
  return FIRST_LUN[driver] + lun
}
