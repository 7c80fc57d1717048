import { randomBytes } from 'node:crypto'
import { chapResponse, parseBinary } from '../../src/rootdisk/iscsi/chap.js'
import { Initiator } from '../fakes/initiator.js'
import type { Daemons, DiskAccess } from './daemons.js'

const BLOCK_BYTES = 4096
const SECTORS = BLOCK_BYTES / 512

/** A disk in use over iSCSI, by a client that keeps account of every write that was acknowledged. */
export class CountingGuest {
  readonly acknowledged = new Map<number, Buffer>()
  readonly #daemons: Daemons
  readonly #disk: DiskAccess
  #initiator: Initiator | undefined

  /** @param disk whose LUN 0 it uses */
  constructor(daemons: Daemons, disk: DiskAccess) {
    this.#daemons = daemons
    this.#disk = disk
  }

  /** The connection has ended. */
  get isCut(): boolean {
    return this.#initiator?.socket.destroyed ?? true
  }

  /** Logs in, again if need be. @throws Error when it is refused */
  async login(): Promise<void> {
    this.#initiator?.close()
    const { iqn, initiatorIqn, user, secret } = this.#disk
    const initiator = new Initiator(this.#daemons.iscsiPort)
    this.#initiator = initiator
    await initiator.login(`InitiatorName=${initiatorIqn}\0TargetName=${iqn}\0AuthMethod=CHAP\0`, 0x81)
    const challenge = await initiator.login('CHAP_A=5\0', 0x00)
    const text = challenge?.data.toString() ?? ''
    const value = (key: string): string => new RegExp(`${key}=([^\\0]*)`).exec(text)?.[1] ?? ''
    const bytes = parseBinary(value('CHAP_C')) ?? Buffer.alloc(0)
    const answer = chapResponse(Number(value('CHAP_I')), secret, bytes).toString('hex')
    const reply = await initiator.login(`CHAP_N=${user}\0CHAP_R=0x${answer}\0`, 0x83)
    if (reply?.header.readUInt16BE(36) !== 0) throw new Error('the login was refused')
    // TEST UNIT READY takes the unit attention that a new session begins with (SAM-5 §5.14).
    await initiator.run(0, [0, 0, 0, 0, 0, 0], { flags: 0x81 })
  }

  /** Writes random bytes to a block; whether that was acknowledged. */
  async write(block: number): Promise<boolean> {
    const data = randomBytes(BLOCK_BYTES)
    const cdb = [0x2a, 0, ...bigEndian(block * SECTORS), 0, 0, SECTORS, 0]
    const done = await this.#initiator?.run(0, cdb, { flags: 0xa1, edtl: BLOCK_BYTES, data })
    if (done?.status !== 0) {
      this.acknowledged.delete(block) // old or new bytes: both are right
      return false
    }
    this.acknowledged.set(block, data)
    return true
  }

  /** Whether the disk was flushed. */
  async flush(): Promise<boolean> {
    const done = await this.#initiator?.run(0, [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0], { flags: 0x81 })
    return done?.status === 0
  }

  /** Blocks that are not what was acknowledged last. */
  async wrongBlocks(): Promise<number[]> {
    const wrong: number[] = []
    for (const [block, expected] of this.acknowledged) {
      const cdb = [0x28, 0, ...bigEndian(block * SECTORS), 0, 0, SECTORS, 0]
      const read = await this.#initiator?.run(0, cdb, { flags: 0xc1, edtl: BLOCK_BYTES })
      if (read?.status !== 0 || !read.data.equals(expected)) wrong.push(block)
    }
    return wrong
  }

  /** Hangs up. */
  close(): void {
    this.#initiator?.close()
  }
}

function bigEndian(value: number): number[] {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff)
}
