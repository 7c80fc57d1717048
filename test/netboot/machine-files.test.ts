import { readFileSync } from 'node:fs'
import t from 'tap'
import type { BootTarget } from '../../src/netboot/decide.js'
import { parseLoaderTable } from '../../src/netboot/loader-table.js'
import { MachineFiles } from '../../src/netboot/machine-files.js'
import { bootTarget } from '../fakes/boot-target.js'

const IP = '198.18.0.50'
const MAC = '52:54:00:12:34:56'
const loaders = parseLoaderTable(readFileSync('boot/loaders.json', 'utf8'))
const policy = { address: '198.18.0.1', httpPort: 8080, loaders }

function filesOf(target: BootTarget): MachineFiles {
  const findTarget = (ip: string, mac: string | undefined): BootTarget | undefined =>
    (ip === IP && mac === undefined) || mac === MAC ? target : undefined
  return new MachineFiles({ findTarget, policy })
}

async function text(files: MachineFiles, name: string, ip = IP): Promise<string | undefined> {
  const file = files.virtualFile(name, ip)
  return file && Buffer.from(await file.read(0, file.sizeBytes)).toString()
}

void t.test('autoexec.ipxe leads a known machine to its script, and is nobody else’s', async (t) => {
  const files = filesOf(bootTarget())
  const script = await text(files, 'autoexec.ipxe')
  t.match(
    script,
    /^#!ipxe\n[^]*:address\n[^]*\ndhcp && goto script [^]*goto address\n:script\nchain --replace http:\/\/198\.18\.0\.1:8080\/boot\/tok_EN-1\/script \|\|\n$/,
  )
  t.equal(await text(files, 'EFI/BOOT/autoexec.ipxe'), script, 'also beside a loader in a directory')
  t.equal(await text(files, 'autoexec.ipxe', '198.18.0.51'), undefined)
  t.equal(await text(files, 'not-autoexec.ipxe'), undefined)
})

void t.test('autoexec.ipxe asks for an address five times, more than a minute', async (t) => {
  const script = (await text(filesOf(bootTarget()), 'autoexec.ipxe')) ?? ''
  t.match(script, /\ninc try\n[^]*\niseq \$\{try\} 5 && exit 1 \|\|\nsleep 2\ngoto address\n/)
  for (const [, label = ''] of script.matchAll(/goto (\w+)/g)) t.match(script, `\n:${label}\n`)
})

void t.test('a machine that boots locally has its autoexec.ipxe too: the script says so', async (t) => {
  t.match(await text(filesOf(bootTarget({ intent: 'local' })), 'autoexec.ipxe'), '/boot/tok_EN-1/script')
})

void t.test('PXELINUX is sent to the loader for BIOS, by the MAC in the name', async (t) => {
  const files = filesOf(bootTarget({ loader: 'pxelinux.0' }))
  const config = await text(files, 'pxelinux.cfg/01-52-54-00-12-34-56')
  t.equal(config, 'DEFAULT ingot\nPROMPT 0\nLABEL ingot\n  PXE undionly.kpxe\n', 'not to itself for ever')
  t.equal(await text(files, 'sub/pxelinux.cfg/01-52-54-00-12-34-56', '198.18.0.99'), config)
  for (const name of ['01-52-54-00-12-34-57', '01-52-54-00-12-34', 'C6120032', 'default', '__proto__', '']) {
    t.equal(await text(files, `pxelinux.cfg/${name}`), undefined, name)
  }
})

void t.test('PXELINUX of a machine that boots locally goes on to its disk', async (t) => {
  const files = filesOf(bootTarget({ intent: 'local' }))
  t.match(await text(files, 'pxelinux.cfg/01-52-54-00-12-34-56'), /\n {2}LOCALBOOT 0\n$/)
})

void t.test('what loaders try in vain is no event', (t) => {
  const files = filesOf(bootTarget())
  t.ok(files.isOptional('pxelinux.cfg/C612') && files.isOptional('autoexec.ipxe'))
  t.notOk(files.isOptional('snponly.efi') || files.isOptional('pxelinux.0'))
  t.end()
})
