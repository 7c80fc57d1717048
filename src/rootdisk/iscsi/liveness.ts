/** Turns without a word after which an initiator is pinged, and after which it is given up. */
const PING_TURNS = 1
const LOST_TURNS = 2

/** Whether the other end of a connection is still there: it is, while bytes come from it. */
export class Liveness {
  #silentTurns = 0

  /** Bytes came. */
  heard(): void {
    this.#silentTurns = 0
  }

  /** Called at a steady pace; says what to do now. */
  turn(): 'nothing' | 'ping' | 'give-up' {
    this.#silentTurns++
    if (this.#silentTurns > LOST_TURNS) return 'give-up'
    return this.#silentTurns > PING_TURNS ? 'ping' : 'nothing'
  }
}
