import fc from 'fast-check'
import t from 'tap'
import { parseBlsEntry, parseGrubConfig } from '../../../../src/rootdisk/image/inspect/grub-menu.js'

void t.test("the first entry of Debian's own menu, and what it searches for", (t) => {
  const menu = parseGrubConfig(`
if [ x$feature_platform_search_hint = xy ]; then
  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt3 5e9fcddc-5d7e-4543-9770-4a7193e2416e
else
  search --no-floppy --fs-uuid --set=root $uuid
fi
menuentry 'Debian' --class debian {
\tlinux\t/boot/vmlinuz-6.1 root=UUID=5e9fcddc-5d7e-4543-9770-4a7193e2416e ro quiet
\tinitrd\t/boot/early.img /boot/initrd.img-6.1
}
menuentry 'other' { linux /other }`)
  t.same(menu.searches, ['UUID=5e9fcddc-5d7e-4543-9770-4a7193e2416e'])
  t.same(menu.entry, {
    kernel: '/boot/vmlinuz-6.1',
    initrds: ['/boot/early.img', '/boot/initrd.img-6.1'],
    arguments: ['root=UUID=5e9fcddc-5d7e-4543-9770-4a7193e2416e', 'ro', 'quiet'],
  })
  t.end()
})

void t.test("Ubuntu's search.fs_uuid, quoted labels, and Fedora's entries are read", (t) => {
  t.same(parseGrubConfig('search.fs_uuid 01D4-3875 root hd0,gpt2\nset prefix=x').searches, ['UUID=01D4-3875'])
  t.same(parseGrubConfig('search -l "ROOT" --set=root').searches, ['LABEL=ROOT'])
  t.equal(parseGrubConfig('insmod blscfg\nblscfg').isBls, true)
  const entry = parseBlsEntry(
    'title x\nlinux /vmlinuz-6\ninitrd /i.img $tuned_initrd\noptions root=LABEL=R $kernelopts\n',
  )
  t.same(entry, { kernel: '/vmlinuz-6', initrds: ['/i.img'], arguments: ['root=LABEL=R'] })
  t.end()
})

void t.test('any text is read', (t) => {
  const word = fc.constantFrom(
    'search',
    '--label',
    '-u',
    'linux',
    'initrd',
    '\n',
    ' ',
    '$x',
    '"',
    'ROOT',
    'search.fs_uuid',
  )
  fc.assert(
    fc.property(fc.array(fc.oneof(word, fc.string())), (parts) => {
      const { searches } = parseGrubConfig(parts.join(' '))
      for (const search of searches) t.match(search, /^(LABEL|UUID)=/)
    }),
  )
  t.end()
})
