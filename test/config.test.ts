import fc from 'fast-check'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig, parseConfig } from '../src/config.js'
import { subnetOfAddress } from '../src/config-subnets.js'
import { SCHEMA } from '../src/config-schema.js'
import { DaemonError } from '../src/errors.js'

const ROOT = join(import.meta.dirname, '..')
const INVALID = join(ROOT, 'fixtures/config/invalid')
const EXAMPLE = join(ROOT, 'systemd/ingot.toml.example')
const SMALLEST = '[boot]\naddress = "198.18.0.1"\n[subnet]\ncidr = "198.18.0.0/24"\n'

function refusal(text: string, file = 'FILE'): string {
  try {
    parseConfig(text, file)
  } catch (err) {
    if (err instanceof DaemonError && err.code === 'CONFIG_INVALID') return err.message
    throw err
  }
  return 'accepted'
}

void t.test('the smallest configuration gets every default', (t) => {
  t.same(parseConfig(SMALLEST, 'FILE'), {
    stateDir: '/var/lib/ingot',
    runDir: '/run/ingot',
    logLevel: 'info',
    unknownMachines: 'ignore',
    availabilityZone: undefined,
    api: { socket: '/run/ingot/api.sock', group: undefined },
    boot: {
      address: '198.18.0.1',
      httpPort: 8080,
      loaderDirs: ['/usr/lib/ipxe', '/usr/lib/shim', '/usr/lib/grub/x86_64-efi-signed'],
      isTftpEnabled: true,
      tftpPort: 69,
      dhcpPort: 67,
      pxePort: 4011,
    },
    subnets: [
      {
        cidr: '198.18.0.0/24',
        mode: 'authoritative',
        address: '198.18.0.1',
        interface: undefined,
        isRelayed: false,
        router: undefined,
        dns: [],
        ntp: [],
        domainSearch: [],
        mtu: undefined,
        routes: [],
        pool: undefined,
        leaseSeconds: 3600,
        hasRouterAdvertisement: false,
      },
    ],
    metadata: { address: '169.254.169.254', port: 80 },
    target: {
      driver: 'embedded',
      tgtSocket: '/var/run/tgtd/socket.0',
      address: '198.18.0.1',
      port: 3260,
      controlSocket: '/run/ingot/targetd.sock',
      isManaged: true,
      cacheSizeBytes: 2 ** 29,
      ioThreads: 4,
      workers: 1,
    },
    nbd: { socket: '/run/ingot/nbd.sock', tcp: undefined },
    image: {
      cacheDir: '/var/lib/ingot/cache',
      maxSizeBytes: 2 ** 40,
      convertTimeoutSeconds: 1800,
      convertMemoryBytes: 2 ** 30,
    },
  })
  t.end()
})

void t.test('sockets follow run_dir, and the portal boot.address, unless told otherwise', (t) => {
  const moved = parseConfig(`run_dir = "/run/other"\n${SMALLEST}`, 'FILE')
  t.equal(moved.api.socket, '/run/other/api.sock')
  t.equal(moved.target.controlSocket, '/run/other/targetd.sock')
  const told = parseConfig(
    `${SMALLEST}[target]\naddress = "198.18.9.1"\ncontrol_socket = "/run/t.sock"`,
    'FILE',
  )
  t.match(told.target, { address: '198.18.9.1', controlSocket: '/run/t.sock' })
  t.end()
})

void t.test('without boot there is no boot and no subnet, without DHCP no subnet', (t) => {
  const bootless = parseConfig('[boot]\nenabled = false\n[target]\naddress = "127.0.0.1"', 'FILE')
  t.same([bootless.boot, bootless.subnets], [undefined, []])
  t.same(parseConfig('[boot]\naddress = "198.18.0.1"\ndhcp = false', 'FILE').subnets, [])
  t.end()
})

void t.test('several segments have an interface each, relayed and foreign ones need none', (t) => {
  const { subnets } = parseConfig(
    [
      '[boot]\naddress = "198.18.0.1"',
      '[[subnet]]\ncidr = "198.18.0.0/24"\ninterface = "eth1"\nroutes = ["10.0.0.0/8 via 198.18.0.9"]',
      '[[subnet]]\ncidr = "198.18.1.0/24"\naddress = "198.18.1.1"\ninterface = "eth2"\nmode = "proxy"',
      '[[subnet]]\ncidr = "198.18.2.0/24"\nrelayed = true\npool_first = "198.18.2.10"\npool_last = "198.18.2.20"',
      '[[subnet]]\ncidr = "198.18.3.0/24"\nmode = "off"',
    ].join('\n'),
    'FILE',
  )
  t.match(subnets, [
    { address: '198.18.0.1', interface: 'eth1', routes: [{ to: '10.0.0.0/8', via: '198.18.0.9' }] },
    { address: '198.18.1.1', mode: 'proxy' },
    { isRelayed: true, address: '198.18.0.1', pool: { first: '198.18.2.10' } },
    { mode: 'off' },
  ])
  t.equal(subnetOfAddress(subnets, '198.18.2.7'), subnets[2])
  t.equal(subnetOfAddress(subnets, '198.18.4.7'), undefined)
  t.end()
})

void t.test('the configuration is frozen to its leaves', (t) => {
  const config = parseConfig(SMALLEST, 'FILE')
  t.ok([config, config.api, config.boot, config.boot?.loaderDirs, config.subnets[0]].every(Object.isFrozen))
  t.end()
})

void t.test('every invalid configuration is refused with all its problems, each with file and line', (t) => {
  const names = readdirSync(INVALID).filter((name) => name.endsWith('.toml'))
  t.ok(names.length > 8)
  for (const name of names) {
    const expected = readFileSync(join(INVALID, name.replace('.toml', '.expected')), 'utf8').trimEnd()
    t.equal(refusal(readFileSync(join(INVALID, name), 'utf8')), expected, name)
  }
  t.end()
})

void t.test('a refusal of a long value shows its start only', (t) => {
  t.ok(refusal(`log_level = "${'x'.repeat(5000)}"`).length < 600)
  t.end()
})

void t.test('a key that would be a trap in JavaScript is refused', (t) => {
  t.match(refusal('__proto__ = 1'), /^FILE:1: /)
  t.match(refusal('[boot.__proto__]\nenabled = false'), /^FILE:1: /)
  t.match(refusal('[boot]\ntoString = 1'), /FILE:2: boot\.toString: expected one of the keys/)
  t.end()
})

void t.test('any text gives a configuration or CONFIG_INVALID, nothing else', (t) => {
  const words = [
    '[boot]',
    '[[boot]]',
    'address',
    '=',
    '"198.18.0.1"',
    '\n',
    '.',
    '[subnet]',
    'cidr',
    '{',
    '}',
    '1',
    '"""',
  ]
  const text = fc.oneof(
    fc.string(),
    fc.array(fc.constantFrom(...words)).map((parts) => parts.join(' ')),
  )
  fc.assert(fc.property(text, (one) => refusal(one).length > 0))
  t.end()
})

void t.test('a file that cannot be read is CONFIG_INVALID and named', (t) => {
  const path = join(t.testdir(), 'none.toml')
  t.throws(() => loadConfig(path), {
    code: 'CONFIG_INVALID',
    message: /none\.toml: expected a readable file, got ENOENT/,
  })
  t.end()
})

void t.test('the example is a valid configuration', (t) => {
  t.match(loadConfig(EXAMPLE), {
    boot: { address: '198.18.0.1' },
    subnets: [{ pool: { first: '198.18.0.100', last: '198.18.0.199' } }],
    target: { isManaged: false },
  })
  t.end()
})

void t.test(
  'the example with every comment key switched on is valid too and names every key there is',
  (t) => {
    const text = readFileSync(EXAMPLE, 'utf8').replace(/^#(?=[a-z_]+ = )/gm, '')
    t.equal(refusal(text), 'accepted')
    const named = new Set([...text.matchAll(/^([a-z_]+) = /gm)].map((match) => match[1]))
    for (const section of Object.values(SCHEMA)) {
      for (const key of Object.keys(section)) t.ok(named.has(key), key)
    }
    t.end()
  },
)

void t.test('tgtd is told paths between commas, so none may be in the state directory', (t) => {
  const text = `state_dir = "/disks,here"\n${SMALLEST}[target]\ndriver = "tgt"`
  t.throws(() => parseConfig(text, 'FILE'), { message: /FILE:1: state_dir: expected a path without a comma/ })
  t.equal(parseConfig(text.replace('tgt', 'embedded'), 'FILE').target.driver, 'embedded')
  t.end()
})

void t.test('the metadata service is there where a subnet is, unless it is not wished', (t) => {
  const { metadata } = parseConfig(`${SMALLEST}[metadata]\nport = 8775\n`, 'FILE')
  t.same(metadata, { address: '169.254.169.254', port: 8775 })
  t.equal(parseConfig(`${SMALLEST}[metadata]\nenabled = false\n`, 'FILE').metadata, undefined)
  const bare = '[boot]\naddress = "198.18.0.1"\ndhcp = false\n'
  t.equal(parseConfig(bare, 'FILE').metadata, undefined)
  t.match(refusal(`${bare}[metadata]\nenabled = true\n`), 'metadata.enabled: expected false')
  const shared = `${SMALLEST}[metadata]\naddress = "198.18.0.1"\nport = `
  t.match(refusal(`${shared}8080\n`), 'metadata.port: expected another port than boot.http_port')
  t.match(refusal(`${shared}3260\n`), 'metadata.port: expected another port than target.port')
  t.end()
})
