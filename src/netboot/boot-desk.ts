import type { Clock } from '../clock.js'
import type { EmitEvent } from '../events.js'
import { asksToBoot, type BootAnswer, type BootClient } from './boot-client.js'
import { decideBoot, type BootPolicy, type BootTarget } from './decide.js'
import { limitEvents } from './event-limiter.js'

/** What the desk needs. */
export interface BootDeskDeps {
  /** The server whose machine has a NIC with this MAC. */
  readonly findTarget: (mac: string) => BootTarget | undefined
  readonly emit: EmitEvent
  readonly clock: Clock
}

/** Where DHCP asks what a client boots: {@link decideBoot} with its events. */
export class BootDesk {
  readonly #deps: BootDeskDeps
  readonly #tell: EmitEvent
  /** MACs whose last question was firmware's; only of machines with a server. */
  readonly #booting = new Set<string>()

  constructor(deps: BootDeskDeps) {
    this.#deps = deps
    this.#tell = limitEvents(deps.emit, deps.clock)
  }

  /** The answer for the segment that `policy` describes; what stands in the way of booting becomes an event. */
  answer(client: BootClient, policy: BootPolicy): BootAnswer {
    const target = this.#deps.findTarget(client.mac)
    if (target !== undefined) this.#saw(client)
    const answer = decideBoot(client, target, policy)
    const serverId = target?.serverId
    if (answer.trouble !== undefined)
      this.#tell({ ...answer.trouble, mac: client.mac, ...(serverId !== undefined && { serverId }) })
    return answer
  }

  /**
   * Tells the address that firmware (or a loader) asks for from the one its operating system asks for later: only the
   * first is a stage of a boot.
   */
  isBooting(mac: string | undefined): boolean {
    return mac !== undefined && this.#booting.has(mac)
  }

  #saw(client: BootClient): void {
    if (asksToBoot(client)) this.#booting.add(client.mac)
    else this.#booting.delete(client.mac)
  }
}
