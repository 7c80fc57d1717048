/** What a row found, told as it goes: two rows may run at once, so each line names its row. */
export class RowLog {
  readonly failures: string[] = []
  readonly #name: string
  readonly #beganMs = performance.now()
  #stepMs = performance.now()

  constructor(name: string) {
    this.#name = name
  }

  /** One line, with the seconds since the last one. */
  step(text: string): void {
    const nowMs = performance.now()
    console.log(`[${this.#name}] ${text} (${((nowMs - this.#stepMs) / 1000).toFixed(0)} s)`)
    this.#stepMs = nowMs
  }

  /** Notes whether something is as it must be. */
  check(what: string, isTrue: boolean, found = ''): void {
    const detail = found === '' ? '' : `: ${found}`
    this.step(`${isTrue ? 'ok' : 'NOT OK'} ${what}${isTrue ? '' : detail}`)
    if (!isTrue) this.failures.push(`${what}${detail}`)
  }

  /** Seconds since the row began. */
  get seconds(): string {
    return ((performance.now() - this.#beganMs) / 1000).toFixed(0)
  }
}
