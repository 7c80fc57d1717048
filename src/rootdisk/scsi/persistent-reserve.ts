import { ByteWriter } from '../../wire/writer.js'
import type { Command } from './command.js'
import { u16, u32 } from './fields.js'
import type { PortId } from './nexus.js'
import { isForAllRegistrants, isHolder } from './reservation-state.js'
import { ACTION, reserveOut, type Change, type ReserveRequest } from './reserve-out.js'
import { checkCondition, good, GOOD, SENSE, STATUS, type Outcome } from './sense.js'

const LIST_BYTES = 24
const SPEC_I_PT = 0x08
const APTPL = 0x01
/** Actions that look at scope and type. */
const SCOPED: ReadonlySet<number> = new Set([
  ACTION.RESERVE,
  ACTION.RELEASE,
  ACTION.PREEMPT,
  ACTION.PREEMPT_AND_ABORT,
])
/** All six types (SPC-4 §6.15.4, table 217). */
const TYPE_MASK = 0xea01

/** PERSISTENT RESERVE IN: READ KEYS (SPC-4 §6.15.2). */
export function readKeys({ unit, cdb }: Command): Outcome {
  const { generation, registrations } = unit.reservations
  const keys = Buffer.from(registrations.map(({ key }) => key).join(''), 'hex')
  return good(new ByteWriter().u32(generation).u32(keys.length).put(keys).bytes(), u16(cdb, 7))
}

/** PERSISTENT RESERVE IN: READ RESERVATION (SPC-4 §6.15.3). */
export function readReservation({ unit, cdb }: Command): Outcome {
  const state = unit.reservations
  const { generation, reservation } = state
  const out = new ByteWriter().u32(generation)
  if (reservation === undefined) return good(out.u32(0).bytes(), u16(cdb, 7))
  const isForAll = isForAllRegistrants(reservation.type)
  const holder = isForAll ? undefined : state.registrations.find((each) => isHolder(state, each))
  out
    .u32(16)
    .put(Buffer.from(holder?.key ?? '0'.repeat(16), 'hex'))
    .zeros(5)
    .u8(reservation.type)
    .zeros(2)
  return good(out.bytes(), u16(cdb, 7))
}

/** PERSISTENT RESERVE IN: REPORT CAPABILITIES (SPC-4 §6.15.4): all target ports (of one), APTPL, all types. */
export function reportCapabilities({ unit, cdb }: Command): Outcome {
  const active = unit.reservations.isPersistent ? 1 : 0
  const out = new ByteWriter()
    .u16(8)
    .u8(0x05)
    .u8(0x80 | active)
    .u16(TYPE_MASK)
    .u16(0)
  return good(out.bytes(), u16(cdb, 7))
}

/** PERSISTENT RESERVE IN: READ FULL STATUS (SPC-4 §6.15.5). */
export function readFullStatus({ unit, cdb }: Command): Outcome {
  const state = unit.reservations
  const body = new ByteWriter()
  for (const registration of state.registrations) {
    const holds = isHolder(state, registration)
    const name = transportId(registration)
    body.put(Buffer.from(registration.key, 'hex')).zeros(4)
    body.u8(holds ? 0x03 : 0x02) // ALL_TG_PT, R_HOLDER
    body.u8(holds ? (state.reservation?.type ?? 0) : 0).zeros(4)
    body.u16(1).u32(name.length).put(name) // relative target port 1
  }
  const out = new ByteWriter().u32(state.generation).u32(body.length).put(body.bytes())
  return good(out.bytes(), u16(cdb, 7))
}

/** TransportID of an iSCSI initiator port: name, separator, ISID (SPC-4 §7.6.4.6). */
function transportId({ initiator, isid }: PortId): Uint8Array {
  const name = Buffer.from(`${initiator},i,0x${isid}\0`, 'utf8')
  const length = Math.max(20, (name.length + 3) & ~3)
  return new ByteWriter()
    .u8(0x45) // name with ISID, iSCSI
    .u8(0)
    .u16(length)
    .put(name)
    .zeros(length - name.length)
    .bytes()
}

/** PERSISTENT RESERVE OUT (SPC-4 §6.16); answered after the new state is kept. */
export async function persistentReserveOut(command: Command): Promise<Outcome> {
  const { unit } = command
  // RESERVE(6) and persistent reservations exclude each other, for the holder too (SPC-2 §5.5.1).
  if (unit.reserver !== undefined) return { status: STATUS.RESERVATION_CONFLICT }
  const request = requestOf(command)
  if ('status' in request) return request
  const change = await unit.inTurn(async () => {
    const next = reserveOut(unit.reservations, request)
    if ('state' in next && next.state !== unit.reservations) await unit.keepReservations(next.state)
    return next
  })
  if ('status' in change) return change
  await announce(command, change) // after the turn: a command that is aborted may be waiting for its own
  return GOOD
}

function requestOf({ nexus, cdb, dataOut }: Command): ReserveRequest | Outcome {
  if (u32(cdb, 5) !== LIST_BYTES || dataOut.length < LIST_BYTES) {
    return checkCondition(SENSE.PARAMETER_LIST_LENGTH_ERROR)
  }
  const list = Buffer.from(dataOut.buffer, dataOut.byteOffset, LIST_BYTES)
  const [key, newKey, flags] = [list.toString('hex', 0, 8), list.toString('hex', 8, 16), list.readUInt8(20)]
  if ((flags & SPEC_I_PT) !== 0) return checkCondition(SENSE.INVALID_FIELD_IN_PARAMETER_LIST) // SIP_C is 0
  const action = (cdb[1] ?? 0) & 0x1f
  const [scope, type] = [(cdb[2] ?? 0) >> 4, (cdb[2] ?? 0) & 0x0f]
  if (SCOPED.has(action) && scope !== 0) return checkCondition(SENSE.INVALID_FIELD_IN_CDB) // 0: the whole LUN
  return { port: nexus, action, type, key, newKey, isPersistent: (flags & APTPL) !== 0 }
}

async function announce({ unit, nexuses, cdb }: Command, change: Change): Promise<void> {
  for (const [port, code] of change.attentions) {
    for (const nexus of nexuses.of(port)) nexus.raise(unit.lun, code)
  }
  if (((cdb[1] ?? 0) & 0x1f) !== ACTION.PREEMPT_AND_ABORT) return
  const lost = change.preempted.flatMap((port) => nexuses.of(port))
  await Promise.all(lost.map((nexus) => nexus.abortTasks(unit.lun)))
}
