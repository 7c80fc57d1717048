import type { LeaseRecord } from '../../registry/records.js'

/** Where leases outlive the daemon. */
export interface LeaseStore {
  /** Every lease, expired ones too: an address goes back to its last owner as long as nobody needed it. */
  all(): Iterable<LeaseRecord>
  /** The lease of an address, expired or not. */
  find(ip: string): LeaseRecord | undefined
  /**
   * Saves `lease`, which replaces any lease of the same address and any of the same MAC. `done` is called later,
   * once: when it is on disk, or with why it is not. What is saved or removed after it is never on disk before it.
   */
  save(lease: LeaseRecord, done: (cause?: Error) => void): void
  /** Forgets the lease of `ip`, if there is one, soon. */
  remove(ip: string): void
}
