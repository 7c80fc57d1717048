import type { Clock } from '../../../clock.js'

interface Waiting {
  readonly worker: number
  readonly resolve: (isGranted: boolean) => void
}

interface Claimed {
  worker: number
  readonly waiting: Waiting[]
}

/** Which worker has which layer open: no layer that may be written is open in two. */
export class ClaimedLayers {
  readonly #clock: Clock
  readonly #limitMs: number
  readonly #claimed = new Map<string, Claimed>()

  /** @param limitMs how long a worker waits for another one to let a layer go */
  constructor(clock: Clock, limitMs: number) {
    this.#clock = clock
    this.#limitMs = limitMs
  }

  /** Whether the worker has the layer now; false when another one has it still after the limit. */
  take(layerId: string, worker: number): Promise<boolean> {
    const claimed = this.#claimed.get(layerId)
    if (claimed === undefined) this.#claimed.set(layerId, { worker, waiting: [] })
    if (claimed === undefined || claimed.worker === worker) return Promise.resolve(true)
    return new Promise((resolve) => {
      const timer = this.#clock.after(this.#limitMs, () => {
        claimed.waiting.splice(claimed.waiting.indexOf(entry), 1)
        resolve(false)
      })
      const entry: Waiting = {
        worker,
        resolve: (isGranted) => {
          timer.cancel()
          resolve(isGranted)
        },
      }
      claimed.waiting.push(entry)
    })
  }

  letGo(layerId: string, worker: number): void {
    const claimed = this.#claimed.get(layerId)
    if (claimed?.worker !== worker) return
    const next = claimed.waiting.shift()
    if (next === undefined) this.#claimed.delete(layerId)
    else {
      claimed.worker = next.worker
      next.resolve(true)
    }
  }

  /** A worker has ended: it has nothing and waits for nothing. */
  forget(worker: number): void {
    for (const { waiting } of this.#claimed.values()) {
      for (const each of waiting.filter((one) => one.worker === worker)) {
        waiting.splice(waiting.indexOf(each), 1)
        each.resolve(false)
      }
    }
    for (const layerId of [...this.#claimed.keys()]) this.letGo(layerId, worker)
  }
}
