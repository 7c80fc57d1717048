import type { BlockDevice } from '../block-device.js'

/** A disk that clients may attach by name. */
export interface NbdExport {
  /** Stays when the name changes. */
  readonly id: string
  readonly name: string
  /** For people who list the exports. */
  readonly description: string
  /** Called for each client. */
  open(): Promise<OpenExport>
}

/** One client's share of a device. */
export interface OpenExport {
  readonly device: BlockDevice
  /** Called once, when nothing works on the device for this client any more. */
  release(): Promise<void>
}

/** What a server offers, asked anew at every negotiation. */
export interface NbdDirectory {
  find(name: string): NbdExport | undefined
  list(): readonly NbdExport[]
}
