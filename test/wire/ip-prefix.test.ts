import fc from 'fast-check'
import t from 'tap'
import {
  formatIp,
  formatIpPrefix,
  isInPrefix,
  maskText,
  overlaps,
  parseIp,
  parseIpPrefix,
  prefixOf,
  widthOf,
  type IpAddress,
} from '../../src/wire/ip-prefix.js'

const family = fc.constantFrom(4 as const, 6 as const)
const address = family.chain((of) =>
  fc
    .bigInt({ min: 0n, max: (1n << BigInt(widthOf(of))) - 1n })
    .map((value): IpAddress => ({ family: of, value })),
)
const within = address.chain((ip) =>
  fc.tuple(fc.constant(ip), fc.integer({ min: 0, max: widthOf(ip.family) })),
)

void t.test('an address and a prefix come back from their texts', (t) => {
  fc.assert(
    fc.property(within, ([ip, length]) => {
      t.strictSame(parseIp(formatIp(ip)), ip)
      t.strictSame(parseIpPrefix(formatIpPrefix(prefixOf(ip, length))), prefixOf(ip, length))
    }),
  )
  t.end()
})

void t.test('an address lies in every prefix that is cut from it, and a flipped bit of it in none', (t) => {
  fc.assert(
    fc.property(within, ([ip, length]) => {
      const prefix = prefixOf(ip, length)
      t.ok(isInPrefix(ip, prefix))
      if (length === 0) return
      const value = ip.value ^ (1n << BigInt(widthOf(ip.family) - length))
      t.notOk(isInPrefix({ ...ip, value }, prefix))
    }),
  )
  t.end()
})

void t.test(
  'prefixes overlap when one has the first address of the other, whichever way they are asked',
  (t) => {
    const pair = fc.tuple(within, within, fc.boolean())
    fc.assert(
      fc.property(pair, ([[a, m], [b, n], isNear]) => {
        const one = prefixOf(a, m)
        const two = prefixOf(isNear && a.family === b.family ? a : b, Math.min(n, widthOf(b.family)))
        const first = ({ family, first }: typeof one): IpAddress => ({ family, value: first })
        t.equal(overlaps(one, two), isInPrefix(first(one), two) || isInPrefix(first(two), one))
        t.equal(overlaps(one, two), overlaps(two, one))
      }),
    )
    t.end()
  },
)

void t.test('a mask has as many leading ones as its prefix is long', (t) => {
  t.equal(maskText(4, 0), '0.0.0.0')
  t.equal(maskText(4, 23), '255.255.254.0')
  t.equal(maskText(4, 32), '255.255.255.255')
  t.equal(maskText(6, 0), '::')
  t.equal(maskText(6, 64), 'ffff:ffff:ffff:ffff::')
  t.equal(maskText(6, 127), 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe')
  t.end()
})

for (const text of [
  '198.18.0.0',
  '198.18.0.1/24',
  '198.18.0.0/33',
  '198.18.0.0/024',
  '198.18.0.0/24/24',
  '2001:db8::1/64',
  '::/129',
  '/24',
  '::/',
  '::/-1',
  '::/1e1',
]) {
  void t.test(`${text} is no prefix`, (t) => {
    t.equal(parseIpPrefix(text), undefined)
    t.end()
  })
}
