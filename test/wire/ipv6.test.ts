import fc from 'fast-check'
import { isIPv6 } from 'node:net'
import t from 'tap'
import { formatIpv6, parseIpv6 } from '../../src/wire/ipv6.js'

const address = fc.bigInt({ min: 0n, max: (1n << 128n) - 1n })
// Random values hardly ever have zeros to shorten: one bit of `keep` a group.
const sparse = fc.tuple(address, fc.integer({ min: 0, max: 255 })).map(([value, keep]) => {
  const groups = Array.from({ length: 8 }, (_, i) => ((keep >> i) & 1 ? 0xffffn << BigInt(16 * i) : 0n))
  return value & groups.reduce((mask, group) => mask | group, 0n)
})

void t.test('every address comes back from its text', (t) => {
  fc.assert(fc.property(fc.oneof(address, sparse), (value) => parseIpv6(formatIpv6(value)) === value))
  t.end()
})

void t.test('the text is the one that the URL standard writes, but for mapped addresses', (t) => {
  const property = fc.property(fc.oneof(address, sparse), (value) => {
    fc.pre(value >> 32n !== 0xffffn)
    return new URL(`http://[${formatIpv6(value)}]/`).hostname === `[${formatIpv6(value)}]`
  })
  fc.assert(property)
  t.end()
})

void t.test('what is an address for us is one for Node, and the reverse', (t) => {
  const text = fc.oneof(
    fc.string({ unit: fc.constantFrom('0', '1', 'f', ':', '.'), maxLength: 24 }),
    fc
      .array(fc.constantFrom('0', 'ff', ':', '::', '1.2.3.4', '255', '12345', ''), { maxLength: 12 })
      .map((parts) => parts.join('')),
    fc.ipV6(),
  )
  fc.assert(
    fc.property(text, (one) => (parseIpv6(one) !== undefined) === isIPv6(one)),
    { numRuns: 3000 },
  )
  t.end()
})

const CANONICAL: readonly [text: string, canonical: string, rule: string][] = [
  ['2001:0db8::0001', '2001:db8::1', 'leading zeros go (RFC 5952 §4.1)'],
  ['2001:db8:0:0:0:0:2:1', '2001:db8::2:1', ':: is as long as it can be (§4.2.1)'],
  ['2001:db8::1:1:1:1:1', '2001:db8:0:1:1:1:1:1', 'one zero alone is written (§4.2.2)'],
  ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1', 'the longest run is shortened (§4.2.3)'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1', 'of two the first (§4.2.3)'],
  ['2001:DB8::ABCD', '2001:db8::abcd', 'letters are small (§4.3)'],
  ['::ffff:c612:1', '::ffff:198.18.0.1', 'a mapped address shows its quad (§5)'],
  ['0:0:0:0:0:0:0:0', '::', 'nothing but zeros is ::'],
  ['::1', '::1', 'the loopback'],
  ['fe80:0:0:0:0:0:0:0', 'fe80::', 'zeros at the end'],
  ['::198.18.0.1', '::c612:1', 'a quad may end any address (RFC 4291 §2.2)'],
]

for (const [text, canonical, rule] of CANONICAL) {
  void t.test(`${text} is ${canonical}: ${rule}`, (t) => {
    const value = parseIpv6(text)
    t.not(value, undefined)
    t.equal(formatIpv6(value ?? 0n), canonical)
    t.end()
  })
}

for (const text of [
  '',
  ':',
  ':::',
  '1::2::3',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7::8',
  '12345::',
  'fe80::1%eth0',
  '[::1]',
  '::1/64',
  '::1.2.3',
  '1.2.3.4',
  '::01.2.3.4',
  '::1.2.3.4:1',
  'g::',
  ' ::1',
  '::1\n',
]) {
  void t.test(`${JSON.stringify(text)} is no IPv6 address`, (t) => {
    t.equal(parseIpv6(text), undefined)
    t.end()
  })
}
