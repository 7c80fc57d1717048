import type { ErrorCode } from '../../../errors.js'
import type { DaemonEvent } from '../../../events.js'
import type { HandedClient } from '../../nbd/handover.js'
import type { TargetControl } from '../control-routes.js'
import type { ReloadReport } from '../reload.js'
import type { Elsewhere } from './placement.js'

// What the parent and its workers tell each other: both are of one build, so nothing is checked on arrival.

/** What a worker can be asked. */
export interface WorkerCalls extends Omit<TargetControl, 'reload'> {
  /** Follows the registry, and lets go of what is another worker's from now on. */
  reload(elsewhere: Elsewhere): Promise<ReloadReport>
}

/** A question by its name. */
export type WorkerCall = keyof WorkerCalls

/** To a worker. */
export type ToWorker =
  | {
      readonly kind: 'call'
      readonly id: number
      readonly name: WorkerCall
      readonly args: readonly unknown[]
    }
  /** Comes with the socket; `received` in base64 is what was read from it. */
  | { readonly kind: 'iscsi'; readonly received: string }
  /** Comes with the socket of a client that has negotiated. */
  | { readonly kind: 'nbd'; readonly client: Omit<HandedClient, 'received'>; readonly received: string }
  | { readonly kind: 'claim'; readonly id: number; readonly isGranted: boolean }
  | { readonly kind: 'ping' }

/** Why a call failed; a code when an operator is to know it. */
export interface CallFailure {
  readonly code?: ErrorCode
  readonly message: string
}

/** From a worker. */
export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'pong' }
  | { readonly kind: 'answer'; readonly id: number; readonly value?: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly failure: CallFailure }
  | { readonly kind: 'event'; readonly event: DaemonEvent }
  | { readonly kind: 'take'; readonly id: number; readonly layerId: string }
  | { readonly kind: 'let-go'; readonly layerId: string }

/** What a worker says of its own accord. */
export type Unprompted = Exclude<FromWorker, { kind: 'ready' | 'pong' | 'answer' | 'failure' }>
