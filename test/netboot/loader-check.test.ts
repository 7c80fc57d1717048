import t from 'tap'
import type { DaemonEvent } from '../../src/events.js'
import { BootFiles } from '../../src/netboot/boot-files.js'
import { loaderCheck } from '../../src/netboot/loader-check.js'
import { parseLoaderTable } from '../../src/netboot/loader-table.js'

const TABLE = parseLoaderTable(
  JSON.stringify([
    { arch: 0, name: 'x86 BIOS', by: 'tftp', file: 'undionly.kpxe' },
    { arch: 1, name: 'NEC/PC98', by: 'tftp', none: 'why' },
    { arch: 6, name: 'x86 UEFI', by: 'tftp', file: 'ia32.efi' },
    { arch: 15, name: 'x86 UEFI HTTP', by: 'http', file: 'ia32.efi' },
  ]),
)

void t.test('loaders that are not there are told once at the start, with who needs them', async (t) => {
  const events: DaemonEvent[] = []
  const files = new BootFiles({ directories: [t.testdir({ 'undionly.kpxe': 'x' })] })
  await loaderCheck(TABLE, files, (event) => events.push(event)).start(() => undefined)
  t.match(events, [
    { kind: 'boot.loader-missing', message: /directories: ia32\.efi \(x86 UEFI, x86 UEFI HTTP\)$/ },
  ])
  t.equal(events.length, 1)
})

void t.test('nothing is said when all are there', async (t) => {
  const events: DaemonEvent[] = []
  const files = new BootFiles({ directories: [t.testdir({ 'undionly.kpxe': 'x', 'ia32.efi': 'x' })] })
  await loaderCheck(TABLE, files, (event) => events.push(event)).start(() => undefined)
  t.same(events, [])
})
