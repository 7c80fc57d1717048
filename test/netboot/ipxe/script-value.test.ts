import fc from 'fast-check'
import t from 'tap'
import { scriptValue } from '../../../src/netboot/ipxe/script-value.js'

const HOSTILE = [
  'x\n#!ipxe\nshell',
  'x || shell',
  'x && chain http://198.18.9.9/',
  '; reboot',
  '${password}',
  '# comment',
  'a\r\nb',
  '\0',
  '$' + '{x:hexraw}',
  '../..?a=b&c=d',
  'ü\u2028\ud800',
]

void t.test('hostile values are plain words in every form', (t) => {
  for (const value of HOSTILE) {
    t.match(scriptValue(value, 'bytes'), /^(?:[0-9a-f]{2})*$/)
    t.match(scriptValue(value, 'uri'), /^(?:[A-Za-z0-9._:-]|%[0-9A-F]{2})*$/)
    t.match(scriptValue(value, 'text'), /^[A-Za-z0-9 .,:_@+?-]*$/)
  }
  t.end()
})

void t.test('any text is exact as bytes and as a URI, and harmless as text', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (value) => {
      const bytes = Buffer.from(scriptValue(value, 'bytes'), 'hex').toString('utf8')
      const uri = decodeURIComponent(scriptValue(value, 'uri'))
      return bytes === value && uri === value && !/[^A-Za-z0-9 .,:_@+?-]/.test(scriptValue(value, 'text'))
    }),
  )
  t.end()
})

void t.test('an iSCSI name is unchanged in a URI', (t) => {
  const iqn = 'iqn.2026-01.org.example:web-1.disk_0'
  t.equal(scriptValue(iqn, 'uri'), iqn)
  t.end()
})
