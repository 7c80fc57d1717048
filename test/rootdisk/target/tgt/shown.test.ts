import fc from 'fast-check'
import t from 'tap'
import { decodeReply } from '../../../../src/rootdisk/target/tgt/message.js'
import { parseReads, parseTargets } from '../../../../src/rootdisk/target/tgt/shown.js'
import { repliesTo } from './exchanges.js'

const shows = repliesTo('--mode target --op show').map((reply) => decodeReply(reply)?.text ?? '')
const SERVER = 'iqn.2026-11.io.ingot:server:'
const LUNS = [
  { lun: 1, path: '/tmp/tgtx/d.raw', serial: 'abc', isReadOnly: false },
  { lun: 2, path: '/tmp/tgtx/s.raw', serial: 'beaf12', isReadOnly: true },
]

void t.test('what tgtd shows is read: targets, LUNs, sessions, accounts and who is let in', (t) => {
  t.same(parseTargets(shows[0] ?? ''), [])
  const whole = {
    tid: 1,
    iqn: `${SERVER}a`,
    nexuses: [],
    luns: LUNS,
    accounts: ['m-1'],
    acl: ['iqn.2026-11.io.ingot:machine:a'],
  }
  t.same(parseTargets(shows[1] ?? ''), [whole])
  const nexus = { id: 2, initiator: 'iqn.2026-11.io.ingot:machine:a', address: '127.0.0.1' }
  const empty = { tid: 2, iqn: `${SERVER}b`, nexuses: [], luns: [], accounts: [], acl: [] }
  t.same(parseTargets(shows[2] ?? ''), [{ ...whole, nexuses: [nexus] }, empty])
  t.same(parseTargets(shows.at(-1) ?? ''), [{ ...empty, acl: ['ALL'] }])
  t.end()
})

void t.test('the bytes that each session has read of each LUN are read', (t) => {
  const [none, some] = repliesTo('--mode target --op stat --tid 1').map(
    (reply) => decodeReply(reply)?.text ?? '',
  )
  t.same(parseReads(none ?? ''), [])
  t.same(parseReads(some ?? ''), [
    { lun: 0, nexus: 2, bytes: 0 },
    { lun: 1, nexus: 2, bytes: 0 },
    { lun: 2, nexus: 2, bytes: 66285 },
  ])
  t.end()
})

void t.test('any text is read without a word of complaint', (t) => {
  const lines = shows.join('\n').split('\n')
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constantFrom(...lines), fc.string())), (some) => {
      const text = some.join('\n')
      return Array.isArray(parseTargets(text)) && Array.isArray(parseReads(text))
    }),
  )
  t.end()
})
