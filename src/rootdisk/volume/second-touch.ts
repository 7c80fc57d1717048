/**
 * Tells what is asked for again from what is asked for once: only that is worth memory. Remembers about as many
 * keys as it has places; two that share a place make each other forgotten, which costs a chance and nothing else.
 */
export class SecondTouch {
  readonly #keys: Float64Array

  constructor(places: number) {
    this.#keys = new Float64Array(Math.max(1, places)).fill(-1)
  }

  /** Whether `key`, a 53-bit number, was touched lately; from now on it was. */
  touch(key: number): boolean {
    const place = key % this.#keys.length
    if (this.#keys[place] === key) return true
    this.#keys[place] = key
    return false
  }
}
