import type { Socket } from 'node:net'
import { DaemonError } from '../../../errors.js'
import type { DaemonEvent } from '../../../events.js'
import type { HandedClient } from '../../nbd/handover.js'
import type { LayerClaims } from '../../volume/layer-store.js'
import type { CallFailure, FromWorker, ToWorker, WorkerCall, WorkerCalls } from './messages.js'

/** This process as a worker sees it: what it hears and says on the channel to its parent. */
export interface Channel {
  on(event: 'message', listener: (message: ToWorker, socket?: Socket) => void): unknown
  send?(message: FromWorker): boolean
}

/** What a worker does for its parent. */
export interface WorkerDuties {
  readonly calls: WorkerCalls
  /** A connection whose first login request was read: it is not being read from. */
  readonly takeIscsi: (socket: Socket, received: Buffer) => void
  readonly takeNbd: (socket: Socket, client: HandedClient) => void
}

/** A worker's side of what it and its parent tell each other. */
export class ParentLink implements LayerClaims {
  readonly #channel: Channel
  /** Layers that nobody ever writes: any number of processes may have them. */
  readonly #isGolden: (layerId: string) => boolean
  readonly #claims = new Map<number, (isGranted: boolean) => void>()
  #lastId = 0

  constructor(channel: Channel, isGolden: (layerId: string) => boolean) {
    this.#channel = channel
    this.#isGolden = isGolden
  }

  /** Does from now on what it is asked to, and says so. */
  serve(duties: WorkerDuties): void {
    this.#channel.on('message', (message, socket) => this.#onMessage(duties, message, socket))
    this.#send({ kind: 'ready' })
  }

  emit(event: DaemonEvent): void {
    this.#send({ kind: 'event', event })
  }

  async take(layerId: string): Promise<void> {
    if (this.#isGolden(layerId)) return
    const id = ++this.#lastId
    const granted = new Promise<boolean>((resolve) => this.#claims.set(id, resolve))
    this.#send({ kind: 'take', id, layerId })
    if (!(await granted)) throw new Error(`layer ${layerId} is open in another worker`)
  }

  letGo(layerId: string): void {
    this.#send({ kind: 'let-go', layerId })
  }

  #onMessage(duties: WorkerDuties, message: ToWorker, socket?: Socket): void {
    switch (message.kind) {
      case 'call':
        void this.#answer(duties.calls, message)
        break
      case 'claim':
        this.#claims.get(message.id)?.(message.isGranted)
        this.#claims.delete(message.id)
        break
      case 'ping':
        this.#send({ kind: 'pong' })
        break
      default:
        if (socket !== undefined) give(duties, message, socket) // else the parent gave it up meanwhile
    }
  }

  async #answer(calls: WorkerCalls, { id, name, args }: Extract<ToWorker, { kind: 'call' }>): Promise<void> {
    try {
      const byName = calls as unknown as Record<WorkerCall, AnyCall> // the parent has the same build
      this.#send({ kind: 'answer', id, value: await byName[name](...args) })
    } catch (err) {
      this.#send({ kind: 'failure', id, failure: failureOf(err) })
    }
  }

  #send(message: FromWorker): void {
    this.#channel.send?.(message)
  }
}

type AnyCall = (...args: readonly unknown[]) => Promise<unknown>

function give(
  { takeIscsi, takeNbd }: WorkerDuties,
  message: Extract<ToWorker, { received: string }>,
  socket: Socket,
): void {
  const received = Buffer.from(message.received, 'base64')
  if (message.kind === 'iscsi') takeIscsi(socket, received)
  else takeNbd(socket, { ...message.client, received })
}

function failureOf(err: unknown): CallFailure {
  if (err instanceof DaemonError) return { code: err.code, message: err.message }
  return { message: err instanceof Error ? err.message : String(err) }
}
