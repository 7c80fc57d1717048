import { connect, type Socket } from 'node:net'
import { crc32c } from '../../src/wire/crc32c.js'
import { withDigests } from '../../src/rootdisk/iscsi/digest-writer.js'
import { ByteWriter } from '../../src/wire/writer.js'

/** A PDU as it came: its header and its data segment. */
export interface Pdu {
  readonly opcode: number
  readonly header: Buffer
  readonly data: Buffer
}

/** A small iSCSI initiator for tests: sends what it is told, hands over PDUs as they come. */
export class Initiator {
  cmdSn = 1
  /** What was negotiated: set after the login. */
  digests = { header: false, data: false }
  /** The next PDU with data loses a bit of it. */
  damageNext = false
  readonly socket: Socket
  readonly closed: Promise<void>
  #received = Buffer.alloc(0)
  #isClosed = false
  #waiter: (() => void) | undefined
  #itt = 1

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    this.socket.on('error', () => undefined)
    this.closed = new Promise((resolve) => {
      this.socket.on('close', () => {
        this.#isClosed = true
        this.#waiter?.()
        resolve()
      })
    })
    this.socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#waiter?.()
    })
  }

  send(bytes: Uint8Array): void {
    this.socket.write(bytes)
  }

  /** The next PDU, or undefined when the connection has closed. */
  async receive(): Promise<Pdu | undefined> {
    for (;;) {
      const bytes = this.#received
      const length = bytes.length < 48 ? 0 : bytes.readUIntBE(5, 3)
      const dataAt = this.digests.header ? 52 : 48
      const dataEnd = dataAt + Math.ceil(length / 4) * 4
      const total = dataEnd + (this.digests.data && length > 0 ? 4 : 0)
      if (bytes.length >= total) {
        this.#received = bytes.subarray(total)
        if (dataAt > 48) check(bytes, 0, 48)
        if (total > dataEnd) check(bytes, dataAt, dataEnd)
        const header = bytes.subarray(0, 48)
        return { opcode: header.readUInt8(0) & 0x3f, header, data: bytes.subarray(dataAt, dataAt + length) }
      }
      if (this.#isClosed) return undefined
      await new Promise<void>((resolve) => (this.#waiter = resolve))
    }
  }

  /** One login request and its answer. */
  async login(text: string, flags = 0x87, isid = 1): Promise<Pdu | undefined> {
    this.send(loginPdu(text, { flags, isid, cmdSn: this.cmdSn }))
    return this.receive()
  }

  /** Logs in to `target` in one step with `keys` besides. */
  async openSession(
    target: string,
    initiator: string,
    keys: readonly string[] = [],
    isid = 1,
  ): Promise<number> {
    const text = [`InitiatorName=${initiator}`, `TargetName=${target}`, 'SessionType=Normal', ...keys]
    const reply = await this.login(`${text.join('\0')}\0`, 0x87, isid)
    return reply?.header.readUInt16BE(36) ?? -1
  }

  /** Sends a SCSI command; `data` goes as immediate data. */
  command(
    lun: number,
    cdb: readonly number[],
    options: { flags: number; edtl?: number; data?: Uint8Array },
  ): number {
    const itt = this.#itt++
    const pdu = commandPdu({ lun, cdb, itt, cmdSn: this.cmdSn++, edtl: 0, ...options })
    this.#sendSealed(pdu)
    return itt
  }

  /** Sends a Data-Out PDU. */
  dataOut(
    fields: { itt: number; ttt: number; dataSn: number; offset: number; isFinal: boolean },
    data: Uint8Array,
  ): void {
    const header = new ByteWriter().u8(0x05).u8(fields.isFinal ? 0x80 : 0)
    header.u16(0).u8(0).u24(data.length).zeros(8).u32(fields.itt).u32(fields.ttt).zeros(12)
    header.u32(fields.dataSn).u32(fields.offset).zeros(4).put(data)
    this.#sendSealed(header.zeros(-data.length & 3).bytes())
  }

  /** Pings and waits for the answer: everything sent before has arrived. */
  async ping(): Promise<void> {
    const header = Buffer.alloc(48)
    header.writeUInt16BE(0x4080)
    header.writeUInt32BE(0x70696e67, 16)
    header.writeUInt32BE(0xffffffff, 20)
    this.#sendSealed(header)
    const reply = await this.receive()
    if (reply?.opcode !== 0x20) throw new Error(`not an answer to a ping: ${String(reply?.opcode)}`)
  }

  #sendSealed(pdu: Buffer): void {
    const bytes = withDigests(pdu, this.digests)
    if (this.damageNext) bytes[60] = (bytes[60] ?? 0) ^ 1
    this.damageNext = false
    this.send(bytes)
  }

  /** Sends a command and collects its Data-In and status. */
  async run(
    lun: number,
    cdb: readonly number[],
    options: { flags: number; edtl?: number; data?: Uint8Array },
  ): Promise<{ status: number; data: Buffer; sense: string; last: Pdu | undefined }> {
    this.command(lun, cdb, options)
    const parts: Buffer[] = []
    for (;;) {
      const pdu = await this.receive()
      if (pdu === undefined) return { status: -1, data: Buffer.concat(parts), sense: '', last: undefined }
      if (pdu.opcode === 0x25) parts.push(pdu.data)
      const isLast = pdu.opcode === 0x21 || (pdu.opcode === 0x25 && (pdu.header.readUInt8(1) & 1) === 1)
      if (!isLast) continue
      const sense = pdu.opcode === 0x21 && pdu.data.length > 2 ? senseText(pdu.data.subarray(2)) : ''
      return { status: pdu.header.readUInt8(3), data: Buffer.concat(parts), sense, last: pdu }
    }
  }

  close(): void {
    this.socket.destroy()
  }
}

function check(bytes: Buffer, from: number, to: number): void {
  if (crc32c(bytes.subarray(from, to)) !== bytes.readUInt32LE(to)) throw new Error('a digest does not fit')
}

/** A Login Request PDU. */
export function loginPdu(text: string, options: { flags: number; isid?: number; cmdSn?: number }): Buffer {
  const data = Buffer.from(text)
  const out = new ByteWriter().u8(0x43).u8(options.flags).u16(0).u8(0).u24(data.length)
  out
    .u16(0x8000)
    .u32(options.isid ?? 1)
    .u16(0)
    .u32(0)
    .u16(0)
    .u16(0)
    .u32(options.cmdSn ?? 1)
    .u32(0)
  return out
    .zeros(16)
    .put(data)
    .zeros(-data.length & 3)
    .bytes()
}

/** A SCSI Command PDU. */
export function commandPdu(command: {
  lun: number
  cdb: readonly number[]
  itt: number
  cmdSn: number
  flags: number
  edtl: number
  data?: Uint8Array
}): Buffer {
  const data = command.data ?? new Uint8Array(0)
  const out = new ByteWriter().u8(0x01).u8(command.flags).u16(0).u8(0).u24(data.length)
  out.u16(command.lun).zeros(6).u32(command.itt).u32(command.edtl).u32(command.cmdSn).u32(0)
  const cdb = Uint8Array.from(command.cdb)
  return out
    .put(cdb)
    .zeros(16 - cdb.length)
    .put(data)
    .zeros(-data.length & 3)
    .bytes()
}

function senseText(sense: Buffer): string {
  return [sense.readUInt8(2) & 0xf, sense.readUInt8(12), sense.readUInt8(13)]
    .map((n) => n.toString(16))
    .join('/')
}
