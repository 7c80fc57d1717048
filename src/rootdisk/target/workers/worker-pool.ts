import type { Clock } from '../../../clock.js'
import type { RunningProcess } from '../../../command.js'
import type { EmitEvent } from '../../../events.js'
import type { Service } from '../../../service.js'
import { ClaimedLayers } from './claimed-layers.js'
import type { Unprompted } from './messages.js'
import { WorkerProcess } from './worker-process.js'

/** How long a worker waits for another to let a layer go: a planned end of its sessions takes two seconds. */
const CLAIM_LIMIT_MS = 10_000

/** What a pool is made with. */
export interface WorkerPoolDeps {
  readonly workers: number
  readonly begin: () => RunningProcess
  readonly clock: Clock
  readonly emit: EmitEvent
}

/** The worker processes: what they have open, and what they have to tell. */
export class WorkerPool implements Service {
  readonly name = 'workers'
  readonly all: readonly WorkerProcess[]
  readonly #emit: EmitEvent
  readonly #claimed: ClaimedLayers
  #onFatal: (cause: Error) => void = () => undefined

  constructor({ workers, begin, clock, emit }: WorkerPoolDeps) {
    this.#emit = emit
    this.#claimed = new ClaimedLayers(clock, CLAIM_LIMIT_MS)
    this.all = Array.from({ length: workers }, (_, index) => {
      return new WorkerProcess({
        ...{ clock, begin },
        onMessage: (message) => this.#onMessage(index, message),
        onDeath: (how, isLast) => this.#onDeath(index, how, isLast),
      })
    })
  }

  async start(onFatal: (cause: Error) => void): Promise<void> {
    this.#onFatal = onFatal
    const started = await Promise.allSettled(this.all.map((worker) => worker.start()))
    const failed = started.find((result) => result.status === 'rejected')
    if (failed === undefined) return
    await this.stop()
    throw failed.reason
  }

  async stop(): Promise<void> {
    await Promise.all(this.all.map((worker) => worker.stop()))
  }

  /** The worker of that number. @throws RangeError when there is none */
  at(index: number): WorkerProcess {
    const worker = this.all[index]
    if (worker === undefined) throw new RangeError(`no worker ${index}`)
    return worker
  }

  #onMessage(index: number, message: Unprompted): void {
    if (message.kind === 'event') this.#emit(message.event)
    else if (message.kind === 'let-go') this.#claimed.letGo(message.layerId, index)
    else {
      const { id, layerId } = message
      void this.#claimed.take(layerId, index).then((isGranted) => {
        this.at(index).tell({ kind: 'claim', id, isGranted })
      })
    }
  }

  #onDeath(index: number, how: string, isLast: boolean): void {
    this.#claimed.forget(index)
    const message = `worker ${index} of ingot-targetd ended (${how}): its servers log in again`
    this.#emit({ kind: 'target.worker-ended', message })
    if (isLast) this.#onFatal(new Error(`${message}; it ends too often`))
  }
}
