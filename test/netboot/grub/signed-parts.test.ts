import t from 'tap'
import { grubConfigName, isOptionalPart, isSignedLoader } from '../../../src/netboot/grub/signed-parts.js'

void t.test('shim of any architecture begins the signed path, iPXE does not', (t) => {
  for (const name of ['shimx64.efi', 'shimaa64.efi', 'shim.efi']) t.ok(isSignedLoader(name), name)
  for (const name of ['snponly.efi', 'shimx64.efi.old', undefined])
    t.notOk(isSignedLoader(name), String(name))
  t.end()
})

void t.test('what shim 16 and GRUB 2.06 were seen to ask for in vain is optional, loaders are not', (t) => {
  const seen = [
    'revocations_sku.efi',
    'revocations_sbat.efi',
    'shim_certificate_0.efi',
    ...['command.lst', 'fs.lst', 'crypto.lst', 'terminal.lst', 'http.mod'].map(
      (name) => `grub/x86_64-efi/${name}`,
    ),
  ]
  for (const name of seen) t.ok(isOptionalPart(name), name)
  for (const name of ['grubx64.efi', 'shimx64.efi', 'grub/grub.cfg']) t.notOk(isOptionalPart(name), name)
  t.end()
})

void t.test('a configuration is named with or without its machine', (t) => {
  t.same(grubConfigName('grub/grub.cfg'), { mac: undefined })
  const mac = '52:54:00:b0:07:0a'
  for (const name of ['01-52:54:00:b0:07:0a', '01-52-54-00-B0-07-0A'])
    t.same(grubConfigName(`grub/grub.cfg-${name}`), { mac }, name)
  for (const name of ['grub.cfg', 'grub/grub.cfg-', 'grub/grub.cfg-01-52', 'x/grub/grub.cfg'])
    t.equal(grubConfigName(name), undefined, name)
  t.end()
})
