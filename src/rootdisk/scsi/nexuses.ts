import { isSamePort, type Nexus, type PortId } from './nexus.js'
import type { SenseCode } from './sense.js'

/** The sessions of a target. */
export class Nexuses {
  readonly #all = new Set<Nexus>()

  add(nexus: Nexus): void {
    this.#all.add(nexus)
  }

  delete(nexus: Nexus): void {
    this.#all.delete(nexus)
  }

  /** The sessions of an initiator port: one at most, two while one replaces the other. */
  of(port: PortId): Nexus[] {
    return [...this.#all].filter((nexus) => isSamePort(nexus, port))
  }

  /** Establishes a unit attention for `lun` in every session but `except`. */
  raise(lun: number, code: SenseCode, except?: Nexus): void {
    for (const nexus of this.#all) if (nexus !== except) nexus.raise(lun, code)
  }

  /** Forgets what was to be told of a LUN that has gone. */
  forget(lun: number): void {
    for (const nexus of this.#all) nexus.forget(lun)
  }
}
