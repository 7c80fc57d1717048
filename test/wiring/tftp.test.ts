import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { parseConfig } from '../../src/config.js'
import { parseLoaderTable } from '../../src/netboot/loader-table.js'
import type { LeaseRecord } from '../../src/registry/records.js'
import { openRegistry } from '../../src/registry/registry.js'
import { inMemory } from '../../src/netboot/boot-files.js'
import { firstOf, machineFiles, tftpOptions } from '../../src/wiring/tftp.js'
import { fill, MACHINE, SERVER } from '../registry/sample-records.js'

const CONFIG = parseConfig(
  `[boot]
address = "198.18.0.1"
[[subnet]]
cidr = "198.18.0.0/24"
interface = "eth0"
[[subnet]]
cidr = "198.18.1.0/24"
address = "198.18.1.1"
interface = "eth1"
mtu = 1400
[[subnet]]
cidr = "198.18.2.0/24"
address = "198.18.1.1"
relayed = true
mtu = 9000
`,
  'FILE',
)
const loaders = parseLoaderTable(readFileSync('boot/loaders.json', 'utf8'))
const policy = { address: '198.18.0.1', httpPort: 8080, loaders }
const [, second] = MACHINE.nics
const SECOND_MAC = second?.mac ?? ''

function files(t: Test): (name: string, ip: string) => Promise<string | undefined> {
  const registry = openRegistry(':memory:')
  t.teardown(() => registry.close())
  fill(registry)
  const find = (ip: string): LeaseRecord | undefined =>
    ip === '198.18.0.99' ? { ip, mac: SECOND_MAC, clientId: undefined, expiresMs: 0 } : undefined
  const { virtualFile } = machineFiles({ registry, config: CONFIG, leases: { find } }, policy)
  return async (name, ip) => {
    const file = await virtualFile(name, ip)
    return file && Buffer.from(await file.read(0, file.sizeBytes)).toString()
  }
}

void t.test('a machine is known by its fixed address, by its lease, and to nobody else', async (t) => {
  const text = files(t)
  t.match(await text('autoexec.ipxe', '198.18.0.11'), `/boot/${SERVER.bootToken}/script`)
  t.match(await text('autoexec.ipxe', '198.18.0.99'), `/boot/${SERVER.bootToken}/script`)
  t.equal(await text('autoexec.ipxe', '198.18.0.12'), undefined)
})

void t.test('a MAC in the name counts unless the address is another machine’s', async (t) => {
  const text = files(t)
  const name = (mac: string): string => `pxelinux.cfg/01-${mac.replaceAll(':', '-')}`
  t.match(await text(name(SECOND_MAC), '198.18.7.7'), 'PXE undionly.kpxe', 'an address nobody gave out')
  t.match(await text(name(SECOND_MAC), '198.18.0.11'), 'PXE undionly.kpxe', 'its other NIC’s')
  t.equal(await text(name('52:54:00:00:00:09'), '198.18.0.11'), undefined)
})

void t.test('blocks fit the smallest MTU of the subnets that are told an address', (t) => {
  t.same(tftpOptions(CONFIG, { address: '198.18.0.1' }), { address: '198.18.0.1', port: 69 })
  t.same(tftpOptions(CONFIG, { address: '198.18.1.1', fd: 7 }), {
    address: '198.18.1.1',
    port: 69,
    fd: 7,
    isOneOfMany: true,
    limits: { blksize: 1368 },
  })
  t.end()
})

void t.test('a name is made by the first source that has it, and optional when one says so', async (t) => {
  const file = inMemory(Buffer.from('made'))
  const made = (wanted: string) => (name: string) => Promise.resolve(name === wanted ? file : undefined)
  const all = firstOf(
    { virtualFile: made('a') },
    { virtualFile: made('b'), isOptional: (name) => name === 'c' },
  )
  t.same(await Promise.all(['a', 'b', 'c'].map((name) => all.virtualFile(name, ''))), [file, file, undefined])
  t.same([all.isOptional('c'), all.isOptional('d')], [true, false])
})
