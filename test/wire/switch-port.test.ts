import t from 'tap'
import { parsePortId, switchPortName } from '../../src/wire/switch-port.js'

void t.test('a port is named by both ids, or by the one there is', (t) => {
  const [circuit, remote] = [Uint8Array.of(0, 7), Buffer.from('leaf1')]
  t.equal(switchPortName(circuit, remote), '0007/6c65616631')
  t.equal(switchPortName(circuit, undefined), '0007/')
  t.equal(switchPortName(undefined, remote), '/6c65616631')
  t.equal(switchPortName(undefined, new Uint8Array(0)), undefined)
  t.end()
})

void t.test('an id is text, or hex after 0x', (t) => {
  t.same(parsePortId('0x00Ff'), Uint8Array.of(0, 255))
  t.same(parsePortId('swp1'), Uint8Array.from(Buffer.from('swp1')))
  t.same(parsePortId('0xf'), Uint8Array.from(Buffer.from('0xf')), 'no whole byte: text')
  t.equal(parsePortId(''), undefined)
  t.equal(parsePortId('x'.repeat(254)), undefined)
  t.end()
})
