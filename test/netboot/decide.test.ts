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
  bootFile: `http://198.18.0.1:8080/boot/loaders/${file}`,
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
  ['an unknown architecture gets an address only', pxe(41), bootTarget(), nothing],
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
      t.ok(decideBoot(pxe(arch), bootTarget(), policy).reason)
      for (const asker of [pxe(arch), http(arch)]) {
        t.equal(decideBoot({ ...asker, isIpxe: true }, bootTarget(), policy).bootFile, SCRIPT)
      }
    }
    t.end()
  },
)

void t.test('the script follows the intent', (t) => {
  t.equal(decideScript(bootTarget()).script, 'server')
  t.equal(decideScript(local).script, 'local')
  t.equal(decideScript(undefined).script, 'unknown')
  t.end()
})
