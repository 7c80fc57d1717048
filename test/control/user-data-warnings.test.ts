import t from 'tap'
import { addMachine, bench, WISH } from './server-bench.js'

void t.test('user data that the system will make nothing of is told once, when it is given', async (t) => {
  const { machines, servers, changes, events } = bench(t)
  addMachine(machines, 1)
  const told = (): (readonly [string | undefined, string])[] =>
    events.filter(({ kind }) => kind === 'server.user-data').map((event) => [event.serverId, event.message])
  const { id } = await servers.create({ ...WISH, userData: Buffer.from('#ps1\nGet-Date\n') })
  const forWindows = 'user data of server web1: #ps1 is for windows images, and this one is linux'
  t.strictSame(told(), [[id, forWindows]])
  await changes.change('web1', { keys: [] })
  await changes.change('web1', { userData: Buffer.from('#cloud-config\n{}\n') })
  await changes.change('web1', { userData: null })
  t.equal(told().length, 1, 'what is well, or was there before, is not told')
  await changes.change('web1', { userData: Buffer.from('hello\n') })
  t.match(told()[1]?.[1], /^user data of server web1: it begins with nothing a guest knows/)
})
