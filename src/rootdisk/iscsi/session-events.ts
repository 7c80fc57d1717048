/** What a session tells its portal. */
export interface SessionEvents {
  /** A read of `lun` went to the device. */
  onRead(lun: number, lba: number): void
  /** Something was queued outside of a received chunk. */
  onOutput(): void
  /** Our own fault, to be logged. */
  onFault(err: unknown): void
}
