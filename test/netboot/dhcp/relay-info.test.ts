import fc from 'fast-check'
import t from 'tap'
import { encapsulate } from '../../../src/netboot/dhcp/options.js'
import { RELAY, relayAddress, relaySubOption } from '../../../src/netboot/dhcp/relay-info.js'

void t.test('each sub-option is found, the first of a code (RFC 3046 §2.0)', (t) => {
  const info = encapsulate([
    [1, [7, 7]],
    [2, []],
    [5, [198, 18, 0, 0]],
    [1, [9]],
  ])
  t.same(relaySubOption(info, RELAY.circuitId), Uint8Array.of(7, 7))
  t.same(relaySubOption(info, RELAY.remoteId), new Uint8Array(0))
  t.equal(relayAddress(info, RELAY.linkSelection), 0xc6120000)
  t.equal(relayAddress(info, RELAY.circuitId), undefined)
  t.equal(relaySubOption(info, RELAY.serverId), undefined)
  t.equal(relaySubOption(undefined, 1), undefined)
  t.end()
})

void t.test('a value past the end is none, and any bytes give a value or none', (t) => {
  t.equal(relaySubOption(Uint8Array.of(1, 5, 0), 1), undefined)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 255 }), fc.nat(255), (bytes, code) => {
      const value = relaySubOption(bytes, code)
      return value === undefined || value.length < bytes.length
    }),
  )
  t.end()
})
