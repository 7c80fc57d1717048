/** What the limits need to know of a connection. */
export interface Limited {
  readonly remoteAddress: string
  readonly isLoggedIn: boolean
  /** Closes it now. */
  destroy(): void
}

/** How many connections a portal takes on. */
export interface ConnectionLimits {
  readonly total: number
  readonly perAddress: number
  /** Connections whose login is not done; one more costs the oldest of them its place. */
  readonly loggingIn: number
}

/**
 * The connections of a portal within their limits. A flood of connections that never log in pushes out its own
 * oldest ones: an honest login takes milliseconds, so it is through before its turn comes.
 */
export class Connections<C extends Limited> {
  readonly #limits: ConnectionLimits
  readonly #all = new Set<C>()
  readonly #loggingIn = new Set<C>()
  readonly #byAddress = new Map<string, number>()
  readonly #onCrowd: (address: string) => void
  #isCrowded = false

  /** @param onCrowd called once when a limit is first met, and again only after the crowd has gone */
  constructor(limits: ConnectionLimits, onCrowd: (address: string) => void) {
    this.#limits = limits
    this.#onCrowd = onCrowd
  }

  /** Whether a connection from there may be taken on. */
  hasRoom(address: string): boolean {
    const { total, perAddress } = this.#limits
    const hasRoom = this.#all.size < total && (this.#byAddress.get(address) ?? 0) < perAddress
    if (!hasRoom) this.#crowded(address)
    return hasRoom
  }

  add(connection: C): void {
    const address = connection.remoteAddress
    this.#all.add(connection)
    this.#loggingIn.add(connection)
    this.#byAddress.set(address, (this.#byAddress.get(address) ?? 0) + 1)
    const [oldest] = this.#loggingIn
    if (this.#loggingIn.size <= this.#limits.loggingIn || oldest === undefined) return
    this.#crowded(oldest.remoteAddress)
    this.#loggingIn.delete(oldest)
    oldest.destroy()
  }

  loggedIn(connection: C): void {
    this.#loggingIn.delete(connection)
  }

  delete(connection: C): void {
    if (!this.#all.delete(connection)) return
    this.#loggingIn.delete(connection)
    const address = connection.remoteAddress
    const left = (this.#byAddress.get(address) ?? 1) - 1
    if (left > 0) this.#byAddress.set(address, left)
    else this.#byAddress.delete(address)
    const { total, perAddress, loggingIn } = this.#limits
    const isQuiet =
      this.#all.size < total / 2 && left < perAddress / 2 && this.#loggingIn.size < loggingIn / 2
    if (isQuiet) this.#isCrowded = false
  }

  list(): C[] {
    return [...this.#all]
  }

  #crowded(address: string): void {
    if (!this.#isCrowded) this.#onCrowd(address)
    this.#isCrowded = true
  }
}
