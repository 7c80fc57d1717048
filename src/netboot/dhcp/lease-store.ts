import type { LeaseRecord } from '../../registry/records.js'

/** Where leases outlive the daemon. */
export interface LeaseStore {
  /** Every lease, expired ones too: an address goes back to its last owner as long as nobody needed it. */
  all(): readonly LeaseRecord[]
  /**
   * Writes `leases` in one transaction, durable when it returns. Each replaces any lease of the same address
   * and any lease of the same MAC.
   */
  save(leases: readonly LeaseRecord[]): void
  /** Forgets the lease of `ip`, if there is one. */
  remove(ip: string): void
}
