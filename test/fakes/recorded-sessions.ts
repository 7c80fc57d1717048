import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32c } from '../../src/wire/crc32c.js'

/** What a real initiator sent over one connection, PDU by PDU. */
export interface RecordedSession {
  readonly name: string
  readonly login: Buffer
  readonly commands: readonly Buffer[]
  readonly hasHeaderDigest: boolean
}

/** A whole number below `below`. */
export type Random = (below: number) => number

const BHS_BYTES = 48
const DIGEST_BYTES = 4
/** Initiator opcodes (RFC 7143 §11.2.1.2). */
const LOGIN = 0x03
const DATA_OUT = 0x05
const LOGOUT = 0x06

/** The sessions of `fixtures/iscsi`. */
export function recordedSessions(folder: string): RecordedSession[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.bin'))
  return files.map((file) => {
    const hasHeaderDigest = file.endsWith('-header-digest.bin')
    const [login, ...commands] = split(readFileSync(join(folder, file)), hasHeaderDigest)
    if (login === undefined) throw new Error(`${file} holds no PDU`)
    return { name: file, login, commands: commands.filter((pdu) => opcode(pdu) !== LOGOUT), hasHeaderDigest }
  })
}

/**
 * A session like `session` of `count` PDUs after the login, with consecutive CmdSN and task tags, and up to two bytes
 * of each changed. Three of four header digests are those of the changed header.
 */
export function mutatedSession(session: RecordedSession, count: number, random: Random): Buffer {
  const { login, commands, hasHeaderDigest } = session
  const first = commands[0]
  if (first === undefined) return login
  let cmdSn = first.readUInt32BE(24)
  let taskTag = 0
  const pdus = Array.from({ length: count }, (_, i) => {
    const pdu = Buffer.from(commands[i % commands.length] ?? first)
    const isDataOut = opcode(pdu) === DATA_OUT
    if (!isDataOut) taskTag++
    pdu.writeUInt32BE(taskTag, 16)
    if (!isDataOut) pdu.writeUInt32BE(cmdSn, 24)
    if (!isDataOut && !isImmediate(pdu)) cmdSn++
    for (let n = random(3); n > 0; n--) pdu[random(random(4) === 0 ? pdu.length : BHS_BYTES)] = random(256)
    if (hasHeaderDigest && random(4) > 0) pdu.writeUInt32LE(crc32c(pdu.subarray(0, BHS_BYTES)), BHS_BYTES)
    return pdu
  })
  return Buffer.concat([login, ...pdus])
}

function split(bytes: Buffer, hasHeaderDigest: boolean): Buffer[] {
  const pdus: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const digestBytes = hasHeaderDigest && (bytes.readUInt8(at) & 0x3f) !== LOGIN ? DIGEST_BYTES : 0
    const ahsBytes = bytes.readUInt8(at + 4) * 4
    const dataBytes = Math.ceil(bytes.readUIntBE(at + 5, 3) / 4) * 4
    const end = at + BHS_BYTES + ahsBytes + digestBytes + dataBytes
    pdus.push(bytes.subarray(at, end))
    at = end
  }
  return pdus
}

function opcode(pdu: Buffer): number {
  return pdu.readUInt8(0) & 0x3f
}

function isImmediate(pdu: Buffer): boolean {
  return (pdu.readUInt8(0) & 0x40) !== 0
}
