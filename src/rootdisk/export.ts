import type { BlockDevice } from './block-device.js'

/** One LUN of a target. */
export interface LunSpec {
  /** 0 system disk, 1 seed disk, 2.. data volumes. */
  readonly lun: number
  /** 16 hex digits: NAA identifier shown in VPD page 83h, stable for the life of the volume. */
  readonly naa: string
  /** Unit serial number (VPD page 80h). */
  readonly serial: string
  /** Bytes of a physical block as the LUN tells them: 512 or 4096. Default 4096. */
  readonly physicalBlockBytes?: number
  /** Called at the first login of a session that needs it; shared by sessions of one target. */
  open(): Promise<BlockDevice>
}

/** What one server may log in to: one target, its own initiator, its own secret. */
export interface TargetSpec {
  readonly iqn: string
  /** The only initiator name let in. */
  readonly initiatorIqn: string
  /** What the initiator proves itself with (CHAP); undefined means no authentication is asked for. */
  readonly chap: { readonly user: string; readonly secret: string } | undefined
  /** How the target proves itself to an initiator that asks for it (mutual CHAP); never the secret of `chap`. */
  readonly mutual?: { readonly user: string; readonly secret: string }
  readonly luns: readonly LunSpec[]
}
