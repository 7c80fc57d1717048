import { randomBytes } from 'node:crypto'
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { chapResponse, parseBinary } from '../../src/rootdisk/iscsi/chap.js'
import { Initiator } from '../fakes/initiator.js'
import { Daemons, until, type DiskAccess } from './daemons.js'

const BLOCK_BYTES = 4096
const SECTORS = BLOCK_BYTES / 512
const DISK_BYTES = 64 << 20

/** A disk in use over iSCSI, by a client that keeps account of every write that was acknowledged. */
class Guest {
  readonly acknowledged = new Map<number, Buffer>()
  readonly #daemons: Daemons
  readonly #disk: DiskAccess
  #initiator: Initiator | undefined

  constructor(daemons: Daemons, disk: DiskAccess) {
    this.#daemons = daemons
    this.#disk = disk
  }

  get isCut(): boolean {
    return this.#initiator?.socket.destroyed ?? true
  }

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

  close(): void {
    this.#initiator?.close()
  }
}

function bigEndian(value: number): number[] {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff)
}

async function rack(t: Test): Promise<{ daemons: Daemons; guest: Guest }> {
  const daemons = await Daemons.make(t)
  await daemons.start()
  const path = join(daemons.dir, 'golden')
  writeFileSync(path, 'a disk')
  truncateSync(path, DISK_BYTES)
  t.match(await daemons.import('golden', path), { status: 'SUCCESS' })
  const guest = new Guest(daemons, await daemons.server(1, 'golden'))
  t.teardown(() => {
    guest.close()
  })
  await guest.login()
  return { daemons, guest }
}

async function writeMany(guest: Guest, from: number, count: number): Promise<number> {
  let done = 0
  for (let i = 0; i < count; i++) if (await guest.write(from + ((i * 7) % 2048))) done++
  return done
}

void t.test('SIGKILL of ingotd: the session goes on through its end and its next start', async (t) => {
  const { daemons, guest } = await rack(t)
  const targetPid = await daemons.targetPid()
  t.equal(await writeMany(guest, 0, 100), 100)
  await daemons.kill()
  t.equal(await writeMany(guest, 1000, 200), 200, 'writes go on while there is no ingotd')
  t.ok(await guest.flush())
  await daemons.start()
  t.equal(await daemons.targetPid(), targetPid, 'the target process is adopted')
  t.equal(await writeMany(guest, 2000, 100), 100, 'writes go on under the new one')
  t.notOk(guest.isCut, 'it is the same connection')
  t.same(await guest.wrongBlocks(), [])
  t.match(await daemons.api('GET', '/servers'), { status: 200, body: { servers: [{ name: 's1' }] } })
})

void t.test('SIGKILL of ingot-targetd under load, three times: no acknowledged write is lost', async (t) => {
  const { daemons, guest } = await rack(t)
  for (let round = 0; round < 3; round++) {
    const targetPid = (await daemons.targetPid()) ?? 0
    t.equal(await writeMany(guest, round * 1000, 200), 200)
    t.ok(await guest.flush(), 'flushed')
    t.equal(await writeMany(guest, round * 1000 + 500, 200), 200, 'and 200 more that are not flushed')
    const storm = (async () => {
      let count = 0
      while (await guest.write(4000 + (count++ % 1000)));
      return count
    })()
    process.kill(targetPid, 'SIGKILL')
    t.ok((await storm) > 0, 'the kill came between writes')
    await until('ingotd starts another', async () => {
      await guest.login()
      return true
    })
    t.not(await daemons.targetPid(), targetPid)
    t.same(await guest.wrongBlocks(), [], `${guest.acknowledged.size} acknowledged blocks are there`)
  }
})
