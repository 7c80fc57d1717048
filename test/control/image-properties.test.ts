import t from 'tap'
import { withProperties } from '../../src/control/image-properties.js'

void t.test('properties are set, changed and taken away by name', (t) => {
  const before = { os_distro: 'debian', boot: 'none' }
  const after = withProperties(before, { boot: 'inic', os_distro: null, hw_firmware_type: 'both' })
  t.strictSame(after, { boot: 'inic', hw_firmware_type: 'both' })
  t.strictSame(before, { os_distro: 'debian', boot: 'none' }, 'what was is left as it was')
  t.strictSame(withProperties(after, { nothing: null }), after)
  t.end()
})

void t.test('a property that cannot be is refused, and why', (t) => {
  const refused: readonly (readonly [change: Record<string, string>, message: RegExp])[] = [
    [{ hw_firmware_type: 'efi' }, /^properties\.hw_firmware_type: expected bios or uefi or both, got "efi"/],
    [{ boot: '' }, /^properties\.boot: /],
    [{ Upper: 'x' }, /^properties: expected names/],
    [{ ['x'.repeat(65)]: 'x' }, /^properties: expected names/],
    [{ os_version: 'x'.repeat(1025) }, /^properties\.os_version: expected at most 1024/],
    [{ os_version: 'a\nb' }, /none of them a control/],
    [Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`p${n}`, 'x'])), /at most 64, got 65/],
  ]
  for (const [change, message] of refused)
    t.throws(() => withProperties({}, change), { code: 'INVALID_INPUT', message })
  t.strictSame(Object.keys(withProperties({}, JSON.parse('{"constructor":"x"}') as Record<string, string>)), [
    'constructor',
  ])
  t.throws(() => withProperties({}, JSON.parse('{"__proto__":"x"}') as Record<string, string>), {
    code: 'INVALID_INPUT',
  })
  t.end()
})
