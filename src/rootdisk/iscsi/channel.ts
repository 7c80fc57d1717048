import type { Output } from './output.js'
import type { Parameters } from './parameters.js'
import { BHS_BYTES, isAfter, nextSerial, padding } from './pdu.js'

/** Commands an initiator may have open before answers come: at most, and while a device is behind. */
const COMMAND_WINDOW = 128
const SLOW_WINDOW = 32

/** Sequence numbers of a session and the headers that carry them (RFC 7143 §4.2.2). */
export class Channel {
  readonly output: Output
  readonly parameters: Parameters
  expCmdSn: number
  statSn: number
  /** Non-immediate commands that were taken and not answered: the window shrinks by them. */
  openCommands = 0
  isClosed = false
  #window = COMMAND_WINDOW
  /** Numbers after the next one that will never come; as many as fit into the window. */
  readonly #considered = new Set<number>()

  constructor(output: Output, parameters: Parameters, numbers: { expCmdSn: number; statSn: number }) {
    this.output = output
    this.parameters = parameters
    this.expCmdSn = numbers.expCmdSn
    this.statSn = numbers.statSn
  }

  /** The last CmdSN we would take now. */
  get maxCmdSn(): number {
    return (this.expCmdSn + this.#window - 1 - this.openCommands) >>> 0
  }

  /**
   * A non-immediate command is answered, or will never be. While a device is behind the window shrinks by what it
   * would have grown: MaxCmdSN never goes back (RFC 7143 §4.2.2.1).
   */
  commandEnded(isDeviceBehind: boolean): void {
    this.openCommands--
    if (isDeviceBehind) this.#window = Math.max(SLOW_WINDOW, this.#window - 1)
    else this.#window = Math.min(COMMAND_WINDOW, this.#window + 1)
  }

  /** Whether the command whose header is at `at` is to be executed: immediate, or the next in order. */
  accept(bytes: Buffer, at: number): boolean {
    const isImmediate = ((bytes[at] ?? 0) & 0x40) !== 0
    return isImmediate || this.acceptCmdSn(bytes.readUInt32BE(at + 24))
  }

  /** Counts a non-immediate command in; false when its CmdSN is not the next one and it must be ignored. */
  acceptCmdSn(cmdSn: number): boolean {
    if (cmdSn !== this.expCmdSn) this.#skipConsidered()
    if (cmdSn !== this.expCmdSn || isAfter(cmdSn, this.maxCmdSn)) return false
    this.expCmdSn = nextSerial(this.expCmdSn)
    return true
  }

  /**
   * Whether `refCmdSn`, of a command that never came, is in the window and before `cmdSn`: then it counts as
   * received, and nobody waits for it any more (RFC 7143 §11.5.1).
   */
  considerReceived(refCmdSn: number, cmdSn: number): boolean {
    const isInWindow = !isAfter(this.expCmdSn, refCmdSn) && !isAfter(refCmdSn, this.maxCmdSn)
    if (!isInWindow || !isAfter(cmdSn, refCmdSn)) return false
    this.#considered.add(refCmdSn)
    this.#skipConsidered()
    return true
  }

  #skipConsidered(): void {
    while (this.#considered.delete(this.expCmdSn)) this.expCmdSn = nextSerial(this.expCmdSn)
  }

  /** Starts a PDU in the output: header zeroed, opcode, flags, lengths, tag and window filled in. */
  begin(opcode: number, flags: number, itt: number, dataBytes = 0): number {
    const at = this.output.room(BHS_BYTES + dataBytes + padding(dataBytes))
    this.header(this.output.bytes, at, opcode, flags)
    const { bytes } = this.output
    bytes.writeUInt32BE(dataBytes, at + 4)
    bytes.writeUInt32BE(itt, at + 16)
    return at
  }

  /** Header basics at `at` of `bytes`; StatSN is left 0. */
  header(bytes: Buffer, at: number, opcode: number, flags: number): void {
    bytes.fill(0, at, at + BHS_BYTES)
    bytes[at] = opcode
    bytes[at + 1] = flags
    bytes.writeUInt32BE(this.expCmdSn, at + 28)
    bytes.writeUInt32BE(this.maxCmdSn, at + 32)
  }

  /** This PDU carries a status: it takes the next StatSN. */
  stampStatSn(bytes: Buffer, at: number): void {
    bytes.writeUInt32BE(this.statSn, at + 24)
    this.statSn = nextSerial(this.statSn)
  }

  /** Sends the PDU begun, with `data` behind its header. */
  end(at: number, data?: Uint8Array): void {
    const { bytes } = this.output
    const dataBytes = data?.length ?? 0
    const padded = dataBytes + padding(dataBytes)
    if (data !== undefined) bytes.set(data, at + BHS_BYTES)
    if (padded > dataBytes) bytes.fill(0, at + BHS_BYTES + dataBytes, at + BHS_BYTES + padded)
    this.output.commit(BHS_BYTES + padded)
  }
}
