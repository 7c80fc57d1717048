import t from 'tap'
import { DEFAULT_TFTP_LIMITS, negotiate } from '../../../src/netboot/tftp/negotiate.js'

const CASES: readonly [string, Record<string, string>, Record<string, string>][] = [
  ['without options there is no OACK', {}, {}],
  ['blksize is granted as asked (RFC 2348)', { blksize: '1432' }, { blksize: '1432' }],
  ['blksize is capped so that nothing fragments', { blksize: '65464' }, { blksize: '1468' }],
  ['a blksize below 8 is ignored (RFC 2348)', { blksize: '4' }, {}],
  ['a blksize above 65464 is ignored', { blksize: '70000' }, {}],
  ['windowsize is capped (RFC 7440)', { windowsize: '64' }, { windowsize: '16' }],
  ['a windowsize of 0 is ignored', { windowsize: '0' }, {}],
  ['tsize is answered with the size (RFC 2349)', { tsize: '0' }, { tsize: '4242' }],
  ['timeout is acknowledged unchanged (RFC 2349)', { timeout: '5' }, { timeout: '5' }],
  ['a timeout of 0 or 256 is ignored', { timeout: '256' }, {}],
  ['words, signs and fractions are ignored', { blksize: '-8', windowsize: '1.5', timeout: 'x' }, {}],
  ['an unknown option is ignored (RFC 2347)', { multicast: '' }, {}],
]

for (const [name, asked, accepted] of CASES) {
  void t.test(name, (t) => {
    const result = negotiate(new Map(Object.entries(asked)), DEFAULT_TFTP_LIMITS, 4242)
    t.same(result.accepted, new Map(Object.entries(accepted)))
    t.equal(result.blksize, Number(accepted['blksize'] ?? 512))
    t.equal(result.windowsize, Number(accepted['windowsize'] ?? 1))
    t.end()
  })
}

void t.test('the tsize of an empty file is left out, which curl 7.88.1 would refuse', (t) => {
  t.same(negotiate(new Map([['tsize', '0']]), DEFAULT_TFTP_LIMITS, 0).accepted, new Map())
  t.end()
})
