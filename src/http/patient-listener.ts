import type { Clock, Timer } from '../clock.js'
import { systemCode } from '../errors.js'
import type { Service } from '../service.js'

/** What a patient listener is made of. */
export interface PatientListenerDeps {
  /** May be started again after a start that failed. */
  readonly listener: Service
  readonly clock: Clock
  /** Called once, when the address cannot be had; it is tried again and again all the same. */
  readonly onRefused: (cause: Error) => void
}

const RETRY_MS = 5000
const REFUSALS: ReadonlySet<string | undefined> = new Set(['EADDRNOTAVAIL', 'EADDRINUSE', 'EACCES'])

/** A listener without which the daemon does its work all the same: an address that cannot be had is waited for. */
export class PatientListener implements Service {
  readonly name: string
  readonly #deps: PatientListenerDeps
  #retry: Timer | undefined
  #starting: Promise<void> = Promise.resolve()
  #wasTold = false
  #isStopped = false

  constructor(deps: PatientListenerDeps) {
    this.name = deps.listener.name
    this.#deps = deps
  }

  start(onFatal: (cause: Error) => void): Promise<void> {
    this.#isStopped = false
    return this.#try(onFatal)
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#retry?.cancel()
    await this.#starting
    await this.#deps.listener.stop()
  }

  async #try(onFatal: (cause: Error) => void): Promise<void> {
    try {
      await this.#deps.listener.start(onFatal)
    } catch (err) {
      if (!(err instanceof Error) || !REFUSALS.has(systemCode(err))) throw err
      this.#wait(err, onFatal)
    }
  }

  #wait(cause: Error, onFatal: (cause: Error) => void): void {
    if (!this.#wasTold) this.#deps.onRefused(cause)
    this.#wasTold = true
    if (this.#isStopped) return
    this.#retry = this.#deps.clock.after(RETRY_MS, () => {
      this.#starting = this.#try(onFatal).catch(onFatal)
    })
  }
}
