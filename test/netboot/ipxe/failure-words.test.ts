import t from 'tap'
import { failureWords } from '../../../src/netboot/ipxe/failure-words.js'

void t.test('errors measured with iPXE 1.0.0+git-20190125 have a meaning in words', (t) => {
  t.match(failureWords('0xf0a6039'), 'connection reset')
  t.match(failureWords('0x280a6011'), 'network unreachable')
  t.end()
})

void t.test('an unknown or garbled error is left as it is', (t) => {
  for (const errno of ['0x99000000', 'unknown', '', '0x', '0x123456789', '9'.repeat(60)]) {
    t.equal(failureWords(errno), errno)
  }
  t.end()
})
