/** Block sizes that a client is brought down to, bytes: below VLAN and VXLAN, what crowbar-core#1078 forces, RFC 1350. */
const STEPS = [1428, 1024, 512] as const
/** Long enough for a machine to come back with its next try or its next power cycle. */
const KEPT_MS = 10 * 60_000
const MAX_CLIENTS = 4096
/** Firmware asks for a size once or twice before it takes a file (OVMF 2022.11 once). */
const PROBES_IN_VAIN = 3

interface Client {
  /** The largest block, bytes. */
  blksize: number
  untilMs: number
  probedFile: string | undefined
  probes: number
}

/**
 * Clients whose transfers end before their first block is acknowledged: a path that drops large frames, or firmware
 * that stumbles over the block size it asked for. Each gets smaller blocks at its next try, for a while.
 */
export class BlockCaps {
  /** By address; the one that failed longest ago comes first. */
  readonly #clients = new Map<string, Client>()

  /** The largest block for `ip`, bytes; Infinity for a client that nothing is known against. */
  capOf(ip: string, nowMs: number): number {
    const client = this.#clients.get(ip)
    return client === undefined || client.untilMs <= nowMs ? Infinity : client.blksize
  }

  /** A transfer brought nothing. @returns the smaller block that the client gets from now on, if there is one */
  failed(ip: string, blksize: number, nowMs: number): number | undefined {
    const next = STEPS.find((step) => step < blksize)
    if (next !== undefined)
      this.#put(ip, { blksize: next, untilMs: nowMs + KEPT_MS, probedFile: undefined, probes: 0 })
    return next
  }

  /** The client wanted a size. @returns as {@link failed}, when it asks for the same one again and again */
  probed(ip: string, file: string, blksize: number, nowMs: number): number | undefined {
    const client = this.#clients.get(ip)
    const probes = client?.probedFile === file && client.untilMs > nowMs ? client.probes + 1 : 1
    if (probes >= PROBES_IN_VAIN) return this.failed(ip, blksize, nowMs)
    this.#put(ip, { blksize: this.capOf(ip, nowMs), untilMs: nowMs + KEPT_MS, probedFile: file, probes })
    return undefined
  }

  /** Data came through: what it asked before was no trouble. A smaller block stays, for it may be why. */
  delivered(ip: string): void {
    const client = this.#clients.get(ip)
    if (client?.blksize === Infinity) this.#clients.delete(ip)
    else if (client !== undefined) client.probes = 0
  }

  #put(ip: string, client: Client): void {
    this.#clients.delete(ip)
    this.#clients.set(ip, client)
    const [oldest] = this.#clients.keys()
    if (this.#clients.size > MAX_CLIENTS && oldest !== undefined) this.#clients.delete(oldest)
  }
}
