import t from 'tap'
import type { Nexus } from '../../../src/rootdisk/scsi/nexus.js'
import { memoryReservations, type ReservationStore } from '../../../src/rootdisk/scsi/reservation-state.js'
import { hex, ScsiBench } from './scsi-bench.js'

const CONFLICT = '24'
const READ = '28000000000000000100'
const WRITE = '2a000000000000000100'
const BLOCK = Buffer.alloc(512, 7)
const REGISTER_AND_IGNORE = 6

/** PERSISTENT RESERVE OUT, type in byte 2, 24 bytes of parameters. */
function out(action: number, type = 0): string {
  return `5f${action.toString(16).padStart(2, '0')}${type.toString(16).padStart(2, '0')}00 00 00000018 00`
}

function keys(key: string, newKey: string, flags = '00'): Buffer {
  return hex(key.padStart(16, '0') + newKey.padStart(16, '0') + '00000000' + flags + '000000')
}

interface Trio {
  readonly bench: ScsiBench
  readonly holder: Nexus
  readonly registered: Nexus
  readonly stranger: Nexus
}

/** One port holds a reservation of this type, another is registered, the third is neither. */
async function reserved(type: number, store?: ReservationStore): Promise<Trio> {
  const bench = await ScsiBench.open(store)
  const [holder, registered, stranger] = [bench.join(), bench.join(), bench.join()]
  await bench.run(holder, out(REGISTER_AND_IGNORE), keys('0', 'a'))
  await bench.run(registered, out(REGISTER_AND_IGNORE), keys('0', 'b'))
  await bench.run(holder, out(1, type), keys('a', '0'))
  return { bench, holder, registered, stranger }
}

// SPC-4 §5.13.1, table 50: who may read and write beside the holder, who always may.
const TYPES: [type: number, name: string, registered: string, stranger: string][] = [
  [1, 'write exclusive', 'r-', 'r-'],
  [3, 'exclusive access', '--', '--'],
  [5, 'write exclusive, registrants only', 'rw', 'r-'],
  [6, 'exclusive access, registrants only', 'rw', '--'],
  [7, 'write exclusive, all registrants', 'rw', 'r-'],
  [8, 'exclusive access, all registrants', 'rw', '--'],
]

for (const [type, name, registeredMay, strangerMay] of TYPES) {
  await t.test(`${name} lets in whom SPC-4 table 50 says`, async (test) => {
    const { bench, holder, registered, stranger } = await reserved(type)
    const may = async (nexus: Nexus): Promise<string> => {
      const read = (await bench.tell(nexus, READ)) === '0' ? 'r' : '-'
      const write = (await bench.tell(nexus, WRITE, BLOCK)) === '0' ? 'w' : '-'
      return read + write
    }
    test.same(
      [await may(holder), await may(registered), await may(stranger)],
      ['rw', registeredMay, strangerMay],
    )
    test.equal(bench.units.unit(0)?.isRestricted, true)
    for (const free of ['00', '120000006000', '25', 'a00000000000000000100000', '5e000000000000000800']) {
      test.equal(await bench.tell(stranger, free), '0', `${free} is never kept out`)
    }
    for (const other of ['35', '1500', '42', '9e120000000000000000000000 18']) {
      const isRead = other.startsWith('9e') && strangerMay.startsWith('r')
      test.equal(await bench.tell(stranger, other), isRead ? '0' : CONFLICT, other)
    }
    test.equal(await bench.tell(stranger, WRITE, BLOCK, 1), '0', 'the other LUN is free')
  })
}

await t.test('RESERVE(6) keeps everybody else out, until its session has gone', async (test) => {
  const bench = await ScsiBench.open()
  const [first, second] = [bench.join(), bench.join()]
  test.equal(await bench.tell(first, '16'), '0')
  test.equal(await bench.tell(second, '16'), CONFLICT)
  test.equal(await bench.tell(second, '00'), CONFLICT)
  test.equal(await bench.tell(second, READ), CONFLICT)
  test.equal(await bench.tell(second, '120000006000'), '0')
  test.equal(await bench.tell(second, '17'), '0', 'RELEASE of another session does nothing')
  test.equal(await bench.tell(second, READ), CONFLICT)
  test.equal(await bench.tell(first, READ), '0')
  bench.units.leave(first)
  test.equal(await bench.tell(second, READ), '0')
  test.equal(bench.units.unit(0)?.isRestricted, false)
})

await t.test('RESERVE and registrations exclude each other (SPC-4 §5.13.4)', async (test) => {
  const bench = await ScsiBench.open()
  const nexus = bench.join()
  await bench.run(nexus, '16')
  test.equal(await bench.tell(nexus, out(REGISTER_AND_IGNORE), keys('0', 'a')), CONFLICT)
  await bench.run(nexus, '17')
  test.equal(await bench.tell(nexus, out(REGISTER_AND_IGNORE), keys('0', 'a')), '0')
  test.same([await bench.tell(nexus, '16'), await bench.tell(nexus, '17')], [CONFLICT, CONFLICT])
})

await t.test('what READ KEYS, RESERVATION, FULL STATUS and CAPABILITIES tell', async (test) => {
  const { bench, registered } = await reserved(5)
  const told = async (action: string): Promise<string> => {
    const { data } = await bench.run(registered, `5e${action}0000000000ffff00`)
    return Buffer.from(data ?? []).toString('hex')
  }
  test.equal(await told('00'), '00000002' + '00000010' + '000000000000000a' + '000000000000000b')
  test.equal(
    await told('01'),
    '00000002' + '00000010' + '000000000000000a' + '00000000' + '00' + '05' + '0000',
  )
  test.equal(await told('02'), '0008' + '05' + '80' + 'ea01' + '0000')
  const full = Buffer.from(await told('03'), 'hex')
  test.equal(full.readUInt32BE(4), full.length - 8)
  test.equal(full[8 + 12], 3, 'ALL_TG_PT, R_HOLDER')
  test.equal(full[8 + 13], 5, 'type')
  const nameBytes = full.readUInt32BE(8 + 20)
  const name = full.subarray(8 + 24, 8 + 24 + nameBytes)
  test.equal(name[0], 0x45)
  test.equal(name.readUInt16BE(2) % 4, 0)
  test.match(name.toString('latin1', 4), /^iqn\.2026-01\.example:1,i,0x00023d000001\0+$/)
})

await t.test('a parameter list that is short, or names other ports, is refused', async (test) => {
  const bench = await ScsiBench.open()
  const nexus = bench.join()
  test.equal(await bench.tell(nexus, out(0), keys('0', 'a').subarray(0, 20)), '5/1a/0')
  test.equal(await bench.tell(nexus, '5f00000000 00000020 00', Buffer.alloc(32)), '5/1a/0')
  test.equal(await bench.tell(nexus, out(0), keys('0', 'a', '08')), '5/26/0', 'SPEC_I_PT')
  test.equal(await bench.tell(nexus, out(7), keys('0', 'a')), '5/24/0', 'REGISTER AND MOVE is not there')
  test.equal(bench.units.unit(0)?.reservations.registrations.length, 0)
})

await t.test('PREEMPT AND ABORT waits until the commands of the loser are over', async (test) => {
  const { bench, holder, registered } = await reserved(1)
  const events: string[] = []
  holder.abortTasks = (lun) =>
    new Promise((resolve) => {
      setImmediate(() => {
        events.push(`tasks of LUN ${String(lun)} aborted`)
        resolve()
      })
    })
  const answer = await bench.tell(registered, out(5, 1), keys('b', 'a'))
  events.push(`answered ${answer}`)
  test.same(events, ['tasks of LUN 0 aborted', 'answered 0'])
  test.equal(await bench.tell(holder, '00'), '6/2a/5')
  test.equal(await bench.tell(holder, WRITE, BLOCK), CONFLICT)
})

await t.test('PREEMPT AND ABORT does not wait for a command that waits for its turn', async (test) => {
  const { bench, holder, registered } = await reserved(1)
  const preempted = bench.tell(registered, out(5, 1), keys('b', 'a'))
  const compared = bench.tell(holder, '89000000000000000000 00000001 0000', Buffer.alloc(1024))
  holder.abortTasks = async () => {
    await compared
  }
  test.same(await Promise.all([preempted, compared]), ['0', '0'])
})

await t.test('reservations outlive every session, and a LUN that is opened anew', async (test) => {
  const store = memoryReservations()
  const { bench, holder, stranger } = await reserved(1, store)
  for (const nexus of [holder, stranger]) bench.units.leave(nexus)
  const next = await ScsiBench.open(store)
  test.equal(await next.tell(next.join(3), WRITE, BLOCK), CONFLICT)
  test.equal(await next.tell(next.join(1), WRITE, BLOCK), '0', 'the same port in a new session')
})

await t.test('a state that cannot be kept is not in force, and its sender is told', async (test) => {
  const store = memoryReservations()
  const bench = await ScsiBench.open({ ...store, save: () => Promise.reject(new Error('disk full')) })
  const nexus = bench.join()
  test.equal(await bench.tell(nexus, out(REGISTER_AND_IGNORE), keys('0', 'a')), '4/44/0')
  test.equal(bench.units.unit(0)?.reservations.registrations.length, 0)
  test.equal(bench.faults.length, 1)
})

await t.test('two changes at a time follow each other, though keeping one takes a while', async (test) => {
  const store = memoryReservations()
  const save: ReservationStore['save'] = async (lunId, state) => {
    await new Promise((resolve) => setImmediate(resolve))
    await store.save(lunId, state)
  }
  const bench = await ScsiBench.open({ ...store, save })
  const nexuses = [bench.join(), bench.join(), bench.join()]
  await Promise.all(nexuses.map((nexus) => bench.run(nexus, out(REGISTER_AND_IGNORE), keys('0', 'a'))))
  test.equal(bench.units.unit(0)?.reservations.registrations.length, 3)
  test.equal(bench.units.unit(0)?.reservations.generation, 3)
})
