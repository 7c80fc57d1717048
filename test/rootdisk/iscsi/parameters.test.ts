import fc from 'fast-check'
import assert from 'node:assert/strict'
import t from 'tap'
import { defaultParameters, negotiate } from '../../../src/rootdisk/iscsi/parameters.js'

// RFC 7143 §13: key, what is offered, what we answer (undefined: nothing).
const CASES: [key: string, offered: string, answer: string | undefined][] = [
  ['HeaderDigest', 'CRC32C,None', 'CRC32C'],
  ['HeaderDigest', 'None,CRC32C', 'None'],
  ['HeaderDigest', 'MD5', 'Reject'],
  ['DataDigest', 'MD5,CRC32C', 'CRC32C'],
  ['DataDigest', 'None', 'None'],
  ['MaxConnections', '8', '1'],
  ['MaxConnections', '0', 'Reject'],
  ['InitialR2T', 'No', 'No'],
  ['InitialR2T', 'Yes', 'Yes'],
  ['InitialR2T', 'maybe', 'Reject'],
  ['ImmediateData', 'Yes', 'Yes'],
  ['ImmediateData', 'No', 'No'],
  ['MaxRecvDataSegmentLength', '262144', undefined],
  ['MaxRecvDataSegmentLength', '511', 'Reject'],
  ['MaxRecvDataSegmentLength', '0x200', undefined],
  ['MaxBurstLength', '16776192', '1048576'],
  ['MaxBurstLength', '16777216', 'Reject'],
  ['MaxBurstLength', '4096', '4096'],
  ['FirstBurstLength', '0x10000', '65536'],
  ['FirstBurstLength', '-1', 'Reject'],
  ['FirstBurstLength', '1e5', 'Reject'],
  ['DefaultTime2Wait', '2', '2'],
  ['DefaultTime2Retain', '20', '0'],
  ['MaxOutstandingR2T', '16', '1'],
  ['DataPDUInOrder', 'No', 'Yes'],
  ['DataSequenceInOrder', 'No', 'Yes'],
  ['ErrorRecoveryLevel', '2', '0'],
  ['ErrorRecoveryLevel', '3', 'Reject'],
  ['IFMarker', 'Yes', 'No'],
  ['OFMarkInt', '2048~65535', 'Reject'],
  ['InitiatorAlias', 'web', undefined],
  ['X-com.example.key', 'any', 'NotUnderstood'],
  ['X-com.example.key', 'NotUnderstood', undefined],
  ['MaxBurstLength', 'Reject', undefined],
]

for (const [key, offered, answer] of CASES) {
  await t.test(`${key}=${offered} is answered with ${answer ?? 'nothing'}`, (test) => {
    test.equal(negotiate(key, offered, defaultParameters()), answer)
    test.end()
  })
}

await t.test('what is agreed is kept, what is rejected changes nothing', (test) => {
  const parameters = defaultParameters()
  const offers = [
    'MaxBurstLength=4096',
    'FirstBurstLength=x',
    'InitialR2T=No',
    'MaxRecvDataSegmentLength=1024',
  ]
  for (const offer of offers) negotiate(...(offer.split('=') as [string, string]), parameters)
  test.same(parameters, {
    ...defaultParameters(),
    maxBurstLength: 4096,
    initialR2t: false,
    peerMaxRecvDataSegmentLength: 1024,
  })
  test.end()
})

await t.test('whatever is offered leaves parameters that a session can run with', (test) => {
  const keys = [...new Set(CASES.map(([key]) => key))]
  const offered = fc.oneof(
    fc.string(),
    fc.integer().map(String),
    fc.constantFrom('Yes', 'No', 'None', '0x1ff'),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom(...keys), offered)), (offers) => {
      const parameters = defaultParameters()
      for (const [key, value] of offers) negotiate(key, value, parameters)
      const lengths = [
        parameters.peerMaxRecvDataSegmentLength,
        parameters.maxBurstLength,
        parameters.firstBurstLength,
      ]
      assert.ok(lengths.every((length) => length >= 512 && length <= 0xffffff))
    }),
  )
  test.end()
})
