import t from 'tap'
import { PagesMemory, type PageRecords } from '../../src/wiring/pages-memory.js'
import { IMAGE, MACHINE, SERVER } from '../registry/sample-records.js'

const RECORDS: PageRecords = { server: SERVER, machine: MACHINE, image: IMAGE }

void t.test('pages are rendered again when what they are made of is another, and for nothing else', (t) => {
  const memory = new PagesMemory()
  let renders = 0
  const ask = (records: PageRecords): number => {
    memory.get(records, () => {
      renders++
      return new Map()
    })
    return renders
  }
  t.equal(ask(RECORDS), 1)
  const bytes = { userData: Buffer.from(SERVER.userData ?? ''), seedSecret: Buffer.from(SERVER.seedSecret) }
  t.equal(ask({ ...RECORDS, server: { ...SERVER, ...bytes } }), 1, 'read anew')
  const boot = { bootToken: 'another', chapSecret: 'another', status: 'ACTIVE', rescue: 'shown' } as const
  t.equal(ask({ ...RECORDS, server: { ...SERVER, ...boot } }), 1, 'a boot changes no page')
  const changes: Partial<PageRecords>[] = [
    { server: { ...SERVER, instanceId: 'another' } },
    { server: { ...SERVER, userData: Buffer.from('#cloud-config\r') } },
    { server: { ...SERVER, sealedPassword: 'AAAA' } },
    { machine: { ...MACHINE, nics: MACHINE.nics.slice(1) } },
    { image: { ...IMAGE, properties: { network_data_bond: 'always' } } },
  ]
  changes.forEach((change, index) => t.equal(ask({ ...RECORDS, ...change }), index + 2))
  t.equal(
    ask({ ...RECORDS, server: { ...SERVER, id: 'another' } }),
    changes.length + 2,
    'a server is no other',
  )
  t.end()
})

void t.test('of so many servers the one that asked longest ago is forgotten', (t) => {
  const memory = new PagesMemory()
  const renders: string[] = []
  const ask = (id: string): void => {
    memory.get({ ...RECORDS, server: { ...SERVER, id } }, () => {
      renders.push(id)
      return new Map()
    })
  }
  for (let index = 0; index < 512; index++) ask(String(index))
  ask('0')
  ask('another')
  renders.length = 0
  for (const id of ['0', '1']) ask(id)
  t.same(renders, ['1'])
  t.end()
})
