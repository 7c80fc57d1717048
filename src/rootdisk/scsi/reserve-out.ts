import { isSamePort, type PortId } from './nexus.js'
import {
  isForAllRegistrants,
  isHolder,
  isType,
  registrationOf,
  TYPE,
  type Registration,
  type Reservation,
  type ReservationState,
} from './reservation-state.js'
import { checkCondition, SENSE, STATUS, type Outcome, type SenseCode } from './sense.js'

/** Service actions of PERSISTENT RESERVE OUT (SPC-4 §6.16, table 219). */
export const ACTION = {
  REGISTER: 0,
  RESERVE: 1,
  RELEASE: 2,
  CLEAR: 3,
  PREEMPT: 4,
  PREEMPT_AND_ABORT: 5,
  REGISTER_AND_IGNORE: 6,
} as const

/** What a PERSISTENT RESERVE OUT asks for. */
export interface ReserveRequest {
  readonly port: PortId
  readonly action: number
  readonly type: number
  /** RESERVATION KEY and SERVICE ACTION RESERVATION KEY, 16 hex digits. */
  readonly key: string
  readonly newKey: string
  /** APTPL bit. */
  readonly isPersistent: boolean
}

/** What it comes to: a state, and whom to tell of it. */
export interface Change {
  readonly state: ReservationState
  readonly attentions: readonly (readonly [PortId, SenseCode])[]
  /** Ports that lost their registration: PREEMPT AND ABORT ends their commands. */
  readonly preempted: readonly PortId[]
}

const NO_KEY = '0'.repeat(16)
const CONFLICT: Outcome = { status: STATUS.RESERVATION_CONFLICT }

type Step = (state: ReservationState, request: ReserveRequest) => Change | Outcome

const STEPS: ReadonlyMap<number, Step> = new Map<number, Step>([
  [ACTION.REGISTER, register],
  [ACTION.REGISTER_AND_IGNORE, register],
  [ACTION.RESERVE, reserve],
  [ACTION.RELEASE, release],
  [ACTION.CLEAR, clear],
  [ACTION.PREEMPT, preempt],
  [ACTION.PREEMPT_AND_ABORT, preempt],
])

/** PERSISTENT RESERVE OUT as a function from state to state (SPC-4 §5.13.7 to §5.13.11). */
export function reserveOut(state: ReservationState, request: ReserveRequest): Change | Outcome {
  const step = STEPS.get(request.action)
  if (step === undefined) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  if (step === register) return register(state, request)
  // Everything else is for registered ports that know their key.
  return registrationOf(state, request.port)?.key === request.key ? step(state, request) : CONFLICT
}

/** REGISTER, and REGISTER AND IGNORE EXISTING KEY (§5.13.7). */
function register(state: ReservationState, request: ReserveRequest): Change | Outcome {
  const { port, action, key, newKey, isPersistent } = request
  const own = registrationOf(state, port)
  if (action === ACTION.REGISTER && key !== (own?.key ?? NO_KEY)) return CONFLICT
  if (own === undefined && newKey === NO_KEY) return silent(state)
  const others = withoutPorts(state.registrations, [port])
  const next = { ...state, isPersistent, generation: nextGeneration(state) }
  if (newKey === NO_KEY) return unregister(next, port, others)
  const registration = { initiator: port.initiator, isid: port.isid, key: newKey }
  const registrations =
    own === undefined
      ? [...others, registration]
      : state.registrations.map((each) => (each === own ? registration : each))
  return silent({ ...next, registrations })
}

/** A reservation goes with the registration of its holder, or with the last one (§5.13.11.2.2). */
function unregister(state: ReservationState, port: PortId, registrations: readonly Registration[]): Change {
  const { reservation } = state
  if (reservation === undefined) return silent({ ...state, registrations })
  const isLost = isForAllRegistrants(reservation.type)
    ? registrations.length === 0
    : isSamePort(reservation.holder, port)
  if (!isLost) return silent({ ...state, registrations })
  const told = isForRegistrants(reservation.type) ? registrations : []
  return {
    ...silent(withReservation({ ...state, registrations }, undefined)),
    attentions: tell(told, SENSE.RESERVATIONS_RELEASED),
  }
}

function reserve(state: ReservationState, { port, type }: ReserveRequest): Change | Outcome {
  if (!isType(type)) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  const { reservation } = state
  if (reservation === undefined) return silent(withReservation(state, { type, holder: bare(port) }))
  return isHolder(state, port) && reservation.type === type ? silent(state) : CONFLICT
}

function release(state: ReservationState, { port, type }: ReserveRequest): Change | Outcome {
  const { reservation } = state
  if (reservation === undefined || !isHolder(state, port)) return silent(state)
  if (reservation.type !== type) return checkCondition(SENSE.INVALID_RELEASE)
  const told = isForRegistrants(type) ? withoutPorts(state.registrations, [port]) : []
  return { ...silent(withReservation(state, undefined)), attentions: tell(told, SENSE.RESERVATIONS_RELEASED) }
}

function clear(state: ReservationState, { port }: ReserveRequest): Change {
  const others = withoutPorts(state.registrations, [port])
  const next = withReservation({ ...state, generation: nextGeneration(state), registrations: [] }, undefined)
  return { ...silent(next), attentions: tell(others, SENSE.RESERVATIONS_PREEMPTED) }
}

/** PREEMPT (§5.13.11.2.4): takes the reservation over when the key is its holder's, else removes registrations. */
function preempt(state: ReservationState, request: ReserveRequest): Change | Outcome {
  const { port, newKey } = request
  const { reservation } = state
  const isMeant = (each: Registration): boolean => each.key === newKey && !isSamePort(each, port)
  if (reservation !== undefined && isForAllRegistrants(reservation.type) && newKey === NO_KEY) {
    return takeOver(state, reservation, request, (each) => !isSamePort(each, port))
  }
  if (newKey === NO_KEY) return checkCondition(SENSE.INVALID_FIELD_IN_PARAMETER_LIST)
  if (reservation !== undefined && isHeldWith(state, reservation, newKey)) {
    return takeOver(state, reservation, request, isMeant)
  }
  const removed = state.registrations.filter(isMeant)
  return removed.length === 0 ? CONFLICT : remove(state, removed)
}

function takeOver(
  state: ReservationState,
  before: Reservation,
  { port, type }: ReserveRequest,
  isMeant: (each: Registration) => boolean,
): Change | Outcome {
  if (!isType(type)) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  const change = remove(state, state.registrations.filter(isMeant))
  const others = withoutPorts(change.state.registrations, [port])
  const told = before.type === type ? [] : tell(others, SENSE.RESERVATIONS_RELEASED)
  return {
    ...change,
    state: withReservation(change.state, { type, holder: bare(port) }),
    attentions: [...change.attentions, ...told],
  }
}

function remove(state: ReservationState, removed: readonly Registration[]): Change {
  const registrations = withoutPorts(state.registrations, removed)
  return {
    state: { ...state, generation: nextGeneration(state), registrations },
    attentions: tell(removed, SENSE.REGISTRATIONS_PREEMPTED),
    preempted: removed,
  }
}

/** With all registrants holding, no key is the holder's. */
function isHeldWith(state: ReservationState, { type, holder }: Reservation, key: string): boolean {
  return !isForAllRegistrants(type) && registrationOf(state, holder)?.key === key
}

/** The four types that let every registered port in. */
function isForRegistrants(type: number): boolean {
  return type >= TYPE.WRITE_EXCLUSIVE_REGISTRANTS
}

function silent(state: ReservationState): Change {
  return { state, attentions: [], preempted: [] }
}

function tell(ports: readonly PortId[], code: SenseCode): [PortId, SenseCode][] {
  return ports.map((port) => [port, code])
}

function withReservation(state: ReservationState, reservation: Reservation | undefined): ReservationState {
  const { generation, isPersistent, registrations } = state
  const next = { generation, isPersistent, registrations }
  return reservation === undefined ? next : { ...next, reservation }
}

function withoutPorts(from: readonly Registration[], ports: readonly PortId[]): Registration[] {
  return from.filter((each) => !ports.some((port) => isSamePort(each, port)))
}

function nextGeneration({ generation }: ReservationState): number {
  return (generation + 1) >>> 0
}

function bare({ initiator, isid }: PortId): PortId {
  return { initiator, isid }
}
