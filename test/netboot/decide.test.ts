import { readFileSync } from 'node:fs'
import t from 'tap'
import type { BootAnswer, BootClient } from '../../src/netboot/boot-client.js'
import { decideBoot, decideScript, type BootPolicy, type BootTarget } from '../../src/netboot/decide.js'
import { parseLoaderTable } from '../../src/netboot/loader-table.js'
import { bootTarget } from '../fakes/boot-target.js'

const policy: BootPolicy = {
  address: '198.18.0.1',
  httpPort: 8080,
  loaders: parseLoaderTable(readFileSync('boot/loaders.json', 'utf8')),
}
const SCRIPT = 'http://198.18.0.1:8080/boot/tok_EN-1/script'

const client = (instead: Partial<BootClient>): BootClient => ({
  mac: '52:54:00:12:34:56',
  arch: undefined,
  isIpxe: false,
  isHttpClient: false,
  isPxeClient: false,
  ...instead,
})
const pxe = (arch: number): BootClient => client({ isPxeClient: true, arch })
const http = (arch: number): BootClient => client({ isHttpClient: true, arch })
const url = (file: string): Partial<BootAnswer> => ({
  bootFile: `http://198.18.0.1:8080/boot/tok_EN-1/loaders/${file}`,
  vendorClass: 'HTTPClient',
})
const nothing = { bootFile: undefined, vendorClass: undefined }

const local = bootTarget({ intent: 'local' })
const CASES: readonly [
  string,
  BootClient,
  BootTarget | undefined,
  Partial<Record<keyof BootAnswer, unknown>>,
][] = [
  ['a machine of no server gets an address only', pxe(7), undefined, nothing],
  [
    'a machine of no server whose iPXE asks gets an address only',
    client({ isIpxe: true }),
    undefined,
    nothing,
  ],
  ['a server with a local disk gets an address only', pxe(0), local, nothing],
  ['a server with a local disk gets no script for iPXE either', client({ isIpxe: true }), local, nothing],
  ['iPXE gets the script', client({ isIpxe: true }), bootTarget(), { bootFile: SCRIPT }],
  [
    'iPXE on BIOS is never sent a loader again',
    { ...pxe(0), isIpxe: true },
    bootTarget(),
    { bootFile: SCRIPT },
  ],
  [
    'iPXE on UEFI is never sent a loader again',
    { ...pxe(7), isIpxe: true },
    bootTarget(),
    { bootFile: SCRIPT },
  ],
  [
    'iPXE with class HTTPClient gets the script',
    { ...http(16), isIpxe: true },
    bootTarget(),
    { bootFile: SCRIPT },
  ],
  ['BIOS PXE gets undionly (RFC 4578 type 0)', pxe(0), bootTarget(), { bootFile: 'undionly.kpxe' }],
  [
    'x64 UEFI gets snponly (type 7)',
    pxe(7),
    bootTarget(),
    { bootFile: 'snponly.efi', vendorClass: undefined },
  ],
  ['x64 UEFI that says EBC gets the same (type 9)', pxe(9), bootTarget(), { bootFile: 'snponly.efi' }],
  ['ia32 UEFI gets its own (type 6)', pxe(6), bootTarget(), { bootFile: 'snponly-ia32.efi' }],
  ['arm64 UEFI gets its own (type 11)', pxe(11), bootTarget(), { bootFile: 'snponly-arm64.efi' }],
  ['x64 HTTP boot gets a URL and its class back (type 16)', http(16), bootTarget(), url('snponly.efi')],
  ['ia32 HTTP boot gets a URL (type 15)', http(15), bootTarget(), url('snponly-ia32.efi')],
  ['arm HTTP boot gets a URL (type 18)', http(18), bootTarget(), url('snponly-arm32.efi')],
  ['arm64 HTTP boot gets a URL (type 19)', http(19), bootTarget(), url('snponly-arm64.efi')],
  ['HTTP boot that names a PXE type is still HTTP boot', http(7), bootTarget(), url('snponly.efi')],
  [
    'a client of no class that names an HTTP architecture gets a URL (U-Boot, type 16)',
    client({ arch: 16 }),
    bootTarget(),
    url('snponly.efi'),
  ],
  [
    'a client of no class that names a PXE architecture gets a loader by TFTP',
    client({ arch: 11 }),
    bootTarget(),
    { bootFile: 'snponly-arm64.efi', vendorClass: undefined },
  ],
  [
    'the loader of a machine goes before the table',
    pxe(7),
    bootTarget({ loader: 'shimx64.efi' }),
    { bootFile: 'shimx64.efi' },
  ],
  [
    'the loader of a machine serves an architecture that has none',
    pxe(22),
    bootTarget({ loader: 'grubaa64.efi' }),
    { bootFile: 'grubaa64.efi' },
  ],
  [
    'the loader of a machine is offered by HTTP to HTTP boot',
    http(16),
    bootTarget({ loader: 'own.efi' }),
    url('own.efi'),
  ],
  [
    'the loader of a machine is never sent to iPXE',
    { ...pxe(7), isIpxe: true },
    bootTarget({ loader: 'own.efi' }),
    { bootFile: SCRIPT },
  ],
  ['PXE without option 93 gets an address only', client({ isPxeClient: true }), bootTarget(), nothing],
  ['an operating system gets an address only', client({}), bootTarget(), nothing],
]

for (const [name, asker, record, expected] of CASES) {
  void t.test(name, (t) => {
    const answer = decideBoot(asker, record, policy)
    for (const [key, value] of Object.entries(expected)) t.equal(answer[key as keyof BootAnswer], value, key)
    t.ok(answer.reason.length > 10)
    if (answer.bootFile === undefined) t.match(answer.reason, /^address only/)
    else t.equal(answer.nextServer, '198.18.0.1')
    t.end()
  })
}

void t.test(
  'every IANA architecture 0 to 41 has an answer with a reason, and iPXE never gets a loader',
  (t) => {
    for (let arch = 0; arch <= 41; arch++) {
      for (const asker of [pxe(arch), http(arch)]) {
        t.equal(decideBoot({ ...asker, isIpxe: true }, bootTarget(), policy).bootFile, SCRIPT)
      }
    }
    t.end()
  },
)

/** What each code of the IANA registry is sent: a file, or undefined and an event that says why. */
const LOADERS: readonly (string | undefined)[] = [
  ...['undionly.kpxe', undefined, undefined, undefined, undefined, undefined],
  ...['snponly-ia32.efi', 'snponly.efi', undefined, 'snponly.efi', 'snponly-arm32.efi', 'snponly-arm64.efi'],
  ...[undefined, undefined, undefined],
  ...['snponly-ia32.efi', 'snponly.efi', 'snponly.efi', 'snponly-arm32.efi', 'snponly-arm64.efi'],
  ...['undionly.kpxe', undefined, undefined, undefined, undefined],
  ...['snponly-riscv32.efi', 'snponly-riscv32.efi', 'snponly-riscv64.efi', 'snponly-riscv64.efi'],
  ...[undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined],
  ...[undefined, undefined, 'snponly-loong64.efi', 'snponly-loong64.efi', undefined],
]
const HTTP_CODES = [15, 16, 17, 18, 19, 20, 23, 24, 26, 28, 30, 38, 40]

void t.test('every architecture code 0 to 41 gets its loader by the way its name says, or an event', (t) => {
  t.equal(LOADERS.length, 42)
  LOADERS.forEach((file, arch) => {
    const row = policy.loaders.get(arch)
    t.equal(row?.by, HTTP_CODES.includes(arch) ? 'http' : 'tftp', `${String(arch)} ${row?.name ?? ''}`)
    const asker = row?.by === 'http' ? http(arch) : pxe(arch)
    const { bootFile, trouble } = decideBoot(asker, bootTarget(), policy)
    t.equal(bootFile?.split('/').at(-1), file, String(arch))
    t.equal(bootFile?.startsWith('http:') ?? false, file !== undefined && row?.by === 'http', String(arch))
    if (file === undefined) t.match(trouble?.message, `architecture ${String(arch)}, ${row?.name ?? '?'}: `)
    else t.equal(trouble, undefined)
  })
  t.end()
})

void t.test('a code beyond the registry, and firmware that names none, are told with what was seen', (t) => {
  for (const arch of [42, 43, 255, 65_535]) {
    const { bootFile, trouble } = decideBoot(pxe(arch), bootTarget(), policy)
    t.equal(bootFile, undefined)
    t.equal(trouble?.kind, 'boot.no-loader')
    t.match(trouble?.message, `architecture ${String(arch)} is not in the loader table`)
  }
  const asker = client({ isPxeClient: true, vendorClass: 'PXEClient"\n\x1b[2J', userClass: 'x'.repeat(300) })
  const { trouble } = decideBoot(asker, bootTarget(), policy)
  t.match(
    trouble?.message,
    /names no architecture .*; seen: 60 "PXEClient\?\?\?\[2J", 77 "x{64}", 93 none, 175 absent;/,
  )
  t.end()
})

void t.test('no trouble is made of a machine that is not to boot from us', (t) => {
  for (const record of [undefined, local]) t.equal(decideBoot(pxe(41), record, policy).trouble, undefined)
  t.end()
})

void t.test('the script follows the intent', (t) => {
  t.equal(decideScript(bootTarget()).script, 'server')
  t.equal(decideScript(local).script, 'local')
  t.equal(decideScript(bootTarget({ intent: 'rescue' })).script, 'rescue')
  t.end()
})

void t.test('the signed path is given by PXE only: its GRUB has no HTTP', (t) => {
  const record = bootTarget({ loader: 'shimx64.efi' })
  t.match(decideBoot(client({ isPxeClient: true, arch: 7 }), record, policy), { bootFile: 'shimx64.efi' })
  const byHttp = decideBoot(http(16), record, policy)
  t.equal(byHttp.bootFile, undefined)
  t.match(byHttp.reason, /by PXE/)
  t.end()
})
