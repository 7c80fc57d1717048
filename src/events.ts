/** The steps of one boot, in the order a machine takes them. */
export const STAGES = [
  'powered-on',
  'dhcp',
  'loader',
  'script',
  'iscsi-login',
  'kernel-login',
  'seed-read',
  'ready',
] as const

/** A step of a boot. */
export type Stage = (typeof STAGES)[number]

/**
 * Something an operator would want told. `kind` is a dotted noun (`dhcp.unknown-machine`, `iscsi.login-failed`);
 * a `stage` marks a step of a machine's boot. Who it concerns is named by whatever the room knows.
 */
export interface DaemonEvent {
  readonly kind: string
  /** One sentence for people. */
  readonly message: string
  readonly stage?: Stage
  readonly mac?: string
  readonly ip?: string
  readonly iqn?: string
  readonly serverId?: string
  /** Set by a room that was told the boot id by the machine itself (URLs carry it). */
  readonly bootId?: string
}

/** Where a room drops its events; never throws, never waits. */
export type EmitEvent = (event: DaemonEvent) => void
