import { isSamePort, type PortId } from './nexus.js'

/** Persistent reservation types (SPC-4 §5.13.6, table 53). */
export const TYPE = {
  WRITE_EXCLUSIVE: 1,
  EXCLUSIVE_ACCESS: 3,
  WRITE_EXCLUSIVE_REGISTRANTS: 5,
  EXCLUSIVE_ACCESS_REGISTRANTS: 6,
  WRITE_EXCLUSIVE_ALL: 7,
  EXCLUSIVE_ACCESS_ALL: 8,
} as const

const TYPES: ReadonlySet<unknown> = new Set(Object.values(TYPE))

/** An initiator port and its reservation key, 16 hex digits. */
export interface Registration extends PortId {
  readonly key: string
}

/** Who holds a LUN, and how: with the two all-registrants types every registered port does. */
export interface Reservation {
  readonly type: number
  readonly holder: PortId
}

/** Persistent reservations of one LUN (SPC-4 §5.13); also the JSON that is kept of them. */
export interface ReservationState {
  /** PRGENERATION. */
  readonly generation: number
  /** APTPL: outlives the loss of power. */
  readonly isPersistent: boolean
  readonly registrations: readonly Registration[]
  readonly reservation?: Reservation
}

/** Where persistent reservations live while nobody is logged in and, with APTPL, while no target runs. */
export interface ReservationStore {
  load(lunId: string): Promise<ReservationState | undefined>
  /** Resolves when a state with `isPersistent` would survive power loss. */
  save(lunId: string, state: ReservationState): Promise<void>
}

/** A LUN that nobody ever registered with. */
export const NO_RESERVATIONS: ReservationState = { generation: 0, isPersistent: false, registrations: [] }

const PORT = { initiator: /^[ -~\u0080-\uffff]{1,223}$/, isid: /^[0-9a-f]{12}$/ }

/** Whether a value read from a file is a state: every field there, in its range. */
export function isReservationState(value: unknown): value is ReservationState {
  if (!isRecord(value) || !Array.isArray(value['registrations'])) return false
  const { generation, isPersistent, registrations, reservation } = value as Record<string, unknown>
  const isCounted = Number.isInteger(generation) && typeof isPersistent === 'boolean'
  const areRegistered = (registrations as unknown[]).every(
    (each) => isPort(each) && 'key' in each && /^[0-9a-f]{16}$/.test(String(each.key)),
  )
  return isCounted && areRegistered && (reservation === undefined || isReservation(reservation))
}

function isReservation(value: unknown): boolean {
  return isRecord(value) && isType(value['type']) && isPort(value['holder'])
}

function isPort(value: unknown): value is PortId {
  if (!isRecord(value)) return false
  return PORT.initiator.test(String(value['initiator'])) && PORT.isid.test(String(value['isid']))
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

/** A store that forgets with the process. */
export function memoryReservations(): ReservationStore {
  const states = new Map<string, ReservationState>()
  return {
    load: (lunId) => Promise.resolve(states.get(lunId)),
    save: (lunId, state) => {
      states.set(lunId, state)
      return Promise.resolve()
    },
  }
}

/** The registration of a port. */
export function registrationOf(state: ReservationState, port: PortId): Registration | undefined {
  return state.registrations.find((each) => isSamePort(each, port))
}

/** Whether this is one of the six types. */
export function isType(type: unknown): boolean {
  return TYPES.has(type)
}

/** Whether every registered port holds a reservation of this type. */
export function isForAllRegistrants(type: number): boolean {
  return type === TYPE.WRITE_EXCLUSIVE_ALL || type === TYPE.EXCLUSIVE_ACCESS_ALL
}

/** Whether `port` holds the reservation. */
export function isHolder(state: ReservationState, port: PortId): boolean {
  const { reservation } = state
  if (reservation === undefined) return false
  if (isForAllRegistrants(reservation.type)) return registrationOf(state, port) !== undefined
  return isSamePort(reservation.holder, port)
}

/** Whether the reservation keeps `port` from reading or from writing (SPC-4 §5.13.1, tables 50 and 51). */
export function isKeptOut(state: ReservationState, port: PortId, isRead: boolean): boolean {
  const { reservation } = state
  if (reservation === undefined || isHolder(state, port)) return false
  const { type } = reservation
  if (type >= TYPE.WRITE_EXCLUSIVE_REGISTRANTS && registrationOf(state, port) !== undefined) return false
  return !isRead || isExclusiveAccess(type)
}

function isExclusiveAccess(type: number): boolean {
  return (
    type === TYPE.EXCLUSIVE_ACCESS ||
    type === TYPE.EXCLUSIVE_ACCESS_REGISTRANTS ||
    type === TYPE.EXCLUSIVE_ACCESS_ALL
  )
}
