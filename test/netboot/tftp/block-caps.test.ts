import t from 'tap'
import { BlockCaps } from '../../../src/netboot/tftp/block-caps.js'

const IP = '198.18.0.9'
const TEN_MINUTES = 10 * 60_000

void t.test('each transfer that brings nothing makes the next blocks smaller, down to 512 bytes', (t) => {
  const caps = new BlockCaps()
  t.equal(caps.capOf(IP, 0), Infinity)
  t.same([caps.failed(IP, 1468, 0), caps.failed(IP, 1428, 0), caps.failed(IP, 1024, 0)], [1428, 1024, 512])
  t.equal(caps.failed(IP, 512, 0), undefined, 'which every client takes (RFC 1350)')
  t.equal(caps.capOf(IP, TEN_MINUTES - 1), 512)
  t.equal(caps.capOf('198.18.0.10', 0), Infinity, 'of this client only')
  t.equal(caps.capOf(IP, TEN_MINUTES), Infinity, 'and forgotten after ten minutes')
  t.end()
})

void t.test('size probes are normal, but the third of one file without data between is not', (t) => {
  const caps = new BlockCaps()
  const probe = (file: string): number | undefined => caps.probed(IP, file, 1468, 0)
  t.same([probe('a'), probe('a'), probe('b'), probe('b')], [undefined, undefined, undefined, undefined])
  caps.delivered(IP)
  t.same([probe('b'), probe('b')], [undefined, undefined])
  t.equal(caps.capOf(IP, 0), Infinity)
  t.equal(probe('b'), 1428)
  t.equal(caps.capOf(IP, 0), 1428)
  t.end()
})

void t.test('a smaller block outlives the transfer that it let through, and probes do not raise it', (t) => {
  const caps = new BlockCaps()
  caps.failed(IP, 1468, 0)
  caps.delivered(IP)
  caps.probed(IP, 'a', 1428, 0)
  t.equal(caps.capOf(IP, 1), 1428)
  t.end()
})

void t.test('however many clients fail, some thousands are remembered: the latest', (t) => {
  const caps = new BlockCaps()
  for (let i = 0; i < 5000; i++) caps.failed(`client ${i}`, 1468, 0)
  t.equal(caps.capOf('client 0', 0), Infinity)
  t.equal(caps.capOf('client 4999', 0), 1428)
  t.end()
})
