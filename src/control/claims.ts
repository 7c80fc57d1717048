import { DaemonError } from '../errors.js'

/**
 * Who is changing which layers now: two changes of one chain would undo each other. Held in memory only, since
 * the work ends with the daemon.
 */
export class Claims {
  readonly #held = new Map<string, string>()

  /**
   * Takes all of `layerIds` for the time until the returned function is called, or none.
   * @param what is going on, as in `volume data-1 is being flattened`
   * @throws DaemonError WRONG_STATE naming what holds one of them
   */
  take(layerIds: readonly string[], what: string): () => void {
    const holder = layerIds.map((id) => this.#held.get(id)).find((held) => held !== undefined)
    if (holder !== undefined) throw new DaemonError('WRONG_STATE', `not now: ${holder}`)
    for (const id of layerIds) this.#held.set(id, what)
    return () => {
      for (const id of layerIds) this.#held.delete(id)
    }
  }

  /** {@link take} for the time of `work`. */
  async during<T>(layerIds: readonly string[], what: string, work: () => Promise<T>): Promise<T> {
    const release = this.take(layerIds, what)
    try {
      return await work()
    } finally {
      release()
    }
  }
}
