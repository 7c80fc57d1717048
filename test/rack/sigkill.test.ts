import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { CountingGuest } from './counting-guest.js'
import { Daemons, until } from './daemons.js'

const DISK_BYTES = 64 << 20

async function rack(t: Test): Promise<{ daemons: Daemons; guest: CountingGuest }> {
  const daemons = await Daemons.make(t)
  await daemons.start()
  const path = join(daemons.dir, 'golden')
  writeFileSync(path, 'a disk')
  truncateSync(path, DISK_BYTES)
  t.match(await daemons.import('golden', path), { status: 'SUCCESS' })
  const guest = new CountingGuest(daemons, await daemons.server(1, 'golden'))
  t.teardown(() => {
    guest.close()
  })
  await guest.login()
  return { daemons, guest }
}

async function writeMany(guest: CountingGuest, from: number, count: number): Promise<number> {
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
