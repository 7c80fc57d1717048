import { generateKeyPairSync, constants, privateDecrypt, type KeyObject } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { metadataPages } from '../../../src/firstboot/metadata/pages.js'
import type { NetworkModel } from '../../../src/firstboot/network/network.js'
import { renderSeedDisk } from '../../../src/firstboot/seed/seed-disk.js'
import type { SeedInput } from '../../../src/firstboot/seed/seed-input.js'
import { windowsHostname } from '../../../src/firstboot/seed/windows.js'
import { sampleNetwork, sampleNetworks } from '../network/sample-networks.js'
import { FULL_SEED, SMALL_SEED } from '../seed/sample-seed.js'
import { teamsOf } from './cloud-plug-in.js'
import { findConfigDrive, isConfigVolume } from './config-drive-finder.js'
import {
  computerName,
  injectedPassword,
  instanceId,
  networkSteps,
  postPassword,
  publicKeys,
  userDataExecutor,
  type Ask,
  type GetDocument,
} from './openstack-reader.js'

/** An OpenSSH line of an RSA key of 2048 bits, and what opens what it seals. */
function rsaKey(name: string): { line: string; opener: KeyObject } {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const { e = '', n = '' } = publicKey.export({ format: 'jwk' })
  const fields = [
    Buffer.from('ssh-rsa'),
    Buffer.from(e, 'base64url'),
    Buffer.concat([Buffer.alloc(1), Buffer.from(n, 'base64url')]), // an mpint is signed
  ]
  const blob = fields.flatMap((field) => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(field.length)
    return [length, field]
  })
  return { line: `ssh-rsa ${Buffer.concat(blob).toString('base64')} ${name}`, opener: privateKey }
}

const KEY = rsaKey('admin@example')
const ED25519 = FULL_SEED.keys[1]?.publicKey ?? ''
const { adminPasswordHash: _hash, ...withoutHash } = FULL_SEED

const WINDOWS: SeedInput = {
  ...withoutHash,
  osType: 'windows',
  hostname: 'web-frontend-001.lab.example',
  keys: [{ name: 'admin', publicKey: KEY.line }],
  userData: Buffer.from('#ps1_sysnative\r\nNew-Item C:\\ingot\r\n'),
}

function fromDisk(input: SeedInput): GetDocument {
  const found = findConfigDrive([{ bytes: renderSeedDisk(input), isFixed: true }])
  return (path) => found?.get(path)
}

function fromHttp(input: SeedInput): GetDocument {
  const pages = metadataPages(input, undefined)
  return (path) => {
    const page = pages.get(path)
    return page && Buffer.from(page.bytes)
  }
}

const WAYS = { 'the seed disk': fromDisk, 'the metadata service': fromHttp }

for (const [way, open] of Object.entries(WAYS)) {
  void t.test(`Windows reads name, identity, keys and user data from ${way}`, (t) => {
    const get = open(WINDOWS)
    t.equal(instanceId(get), WINDOWS.instanceId)
    t.equal(computerName(get), windowsHostname(WINDOWS.hostname))
    t.strictSame([...publicKeys(get)], [KEY.line])
    t.equal(injectedPassword(get), undefined)
    t.equal(userDataExecutor(get), 'PowerShell')
    t.ok(get('openstack/latest/user_data')?.equals(Buffer.from(WINDOWS.userData ?? [])))
    t.end()
  })

  void t.test(`Windows finds nothing of a shell in ${way}`, (t) => {
    const get = open(WINDOWS)
    t.equal(get('openstack/latest/vendor_data.json')?.toString().trim(), '{}')
    t.end()
  })
}

void t.test('the config drive is found among other disks, on fixed disks only', (t) => {
  const seed = renderSeedDisk(WINDOWS)
  const system = Buffer.alloc(1 << 20) // a system disk: an MBR with one partition of something else
  system.writeUInt16LE(0xaa55, 510)
  system[450] = 0x07
  system.writeUInt32LE(64, 454)
  system.writeUInt32LE(1024, 458)
  const disks = [
    { bytes: system, isFixed: true },
    { bytes: seed, isFixed: true },
  ]
  t.ok(findConfigDrive(disks)?.has('openstack/latest/meta_data.json'))
  t.ok(findConfigDrive([...disks].reverse())?.has('openstack/latest/meta_data.json'))
  t.equal(findConfigDrive([{ bytes: seed, isFixed: false }]), undefined, 'removable media are passed over')
  t.end()
})

void t.test('config-2 is the first ISO 9660 of the disk, since no label is looked at there', (t) => {
  const found = findConfigDrive([{ bytes: renderSeedDisk(WINDOWS), isFixed: true }])
  t.ok(found?.has('ec2/latest/meta-data.json'))
  t.notOk(found?.has('meta-data'), 'not cidata')
  t.end()
})

void t.test('where Windows has mounted the volume, label and path are those it looks for', (t) => {
  const disk = renderSeedDisk(WINDOWS)
  const label = disk.toString('latin1', (1 << 20) + 0x8028, (1 << 20) + 0x8048).trimEnd()
  t.ok(isConfigVolume(label, ['openstack/latest/meta_data.json']))
  t.end()
})

void t.test('the largest seed is still within the 16 bits that its size is read as', (t) => {
  const userData = Buffer.alloc(32 * 1024, '#ps1\n')
  const get = fromDisk({ ...WINDOWS, userData, networkAgent: Buffer.alloc(1 << 20, 'a') })
  t.ok(get('openstack/latest/user_data')?.equals(userData))
  t.ok(get('ingot/bms-network-config')?.length === 1 << 20)
  t.end()
})

for (const [text, executor] of [
  ['#ps1\nGet-Date\n', 'PowerShell'],
  ['#ps1_x86\nGet-Date\n', 'PowerShell x86'],
  ['rem cmd\r\ndir\r\n', 'cmd'],
  ['#!/usr/bin/env python\nprint(1)\n', 'python'],
  ['#cloud-config\nset_timezone: UTC\n', 'cloud-config'],
  ['Content-Type: multipart/mixed; boundary="b"\nMIME-Version: 1.0\n\n', 'MIME'],
  ['<powershell>Get-Date</powershell>', 'EC2'],
] as const) {
  void t.test(
    `Windows runs ${JSON.stringify(text.slice(0, 24))} by ${executor}, compressed and from base64 too`,
    (t) => {
      for (const given of [text, gzipSync(text), Buffer.from(text).toString('base64')]) {
        t.equal(userDataExecutor(fromDisk({ ...WINDOWS, userData: Buffer.from(given) })), executor)
      }
      t.end()
    },
  )
}

void t.test('a Windows server without user data has none', (t) => {
  t.equal(userDataExecutor(fromDisk({ ...SMALL_SEED, hostname: 'win', osType: 'windows' })), 'nobody')
  t.end()
})

void t.test(
  'names of any length stay different when their ends differ, and are at most 15 characters',
  (t) => {
    const label = fc.stringMatching(/^[a-z0-9][a-z0-9-]{12,30}$/)
    fc.assert(
      fc.property(label, fc.integer({ min: 0, max: 998 }), (stem, number) => {
        const names = [number, number + 1].map((end) => windowsHostname(`${stem}x${String(end)}.lab.example`))
        return (
          names[0] !== names[1] && names.every((name) => /^[a-z0-9](?:[a-z0-9-]{0,13}[a-z0-9])?$/.test(name))
        )
      }),
    )
    t.equal(windowsHostname('db1.lab.example'), 'db1')
    t.equal(windowsHostname('fifteen-letters'), 'fifteen-letters')
    t.match(windowsHostname('web-fr--and-more'), /^web-fr-[0-9a-z]{6}$/, 'no doubled hyphen')
    t.equal(windowsHostname('WEB-FR--AND-MORE'), windowsHostname('web-fr--and-more'), 'Windows knows no case')
    t.end()
  },
)

void t.test('the password comes sealed by POST, once, and only the key opens it', (t) => {
  let stored: string | undefined
  const ask: Ask = (method, path, body) => {
    if (method === 'POST') {
      if (stored !== undefined) return { status: 409, body: Buffer.alloc(0) }
      stored = body
      return { status: 200, body: Buffer.alloc(0) }
    }
    const page = metadataPages(WINDOWS, stored).get(path)
    return { status: page === undefined ? 404 : 200, body: Buffer.from(page?.bytes ?? []) }
  }
  t.equal(postPassword(ask, 'Zw3i&Tür'), true)
  const opened = privateDecrypt(
    { key: KEY.opener, padding: constants.RSA_NO_PADDING },
    Buffer.from(stored ?? '', 'base64'),
  )
  t.strictSame([...opened.subarray(0, 2)], [0, 2], 'RFC 8017 §7.2.1')
  t.equal(opened.subarray(opened.indexOf(0, 2) + 1).toString(), 'Zw3i&Tür')
  t.equal(postPassword(ask, 'another'), false, 'it is set already')
  t.end()
})

const NIC = {
  kind: 'nic',
  isRoot: false,
  ipv4: { kind: 'dhcp' },
  ipv6: { kind: 'none' },
  routes: [],
} as const
const ADAPTERS = new Set(['52:54:00:12:34:56', '52:54:00:ab:cd:ef'])

void t.test('static addresses reach the adapters with gateway and resolvers', (t) => {
  const network: NetworkModel = {
    links: [
      { ...NIC, id: 'root', mac: '52:54:00:12:34:56', isRoot: true },
      {
        ...NIC,
        id: 'front',
        mac: '52:54:00:AB:CD:EF',
        ipv4: { kind: 'static', address: '198.18.5.7', prefixLength: 23, gateway: '198.18.4.1' },
      },
    ],
    dns: ['198.18.0.53'],
    search: [],
  }
  t.strictSame(networkSteps(fromDisk({ ...WINDOWS, network }), ADAPTERS), [
    '52:54:00:12:34:56 is root',
    '52:54:00:ab:cd:ef is front',
    'front has 198.18.5.7 255.255.254.0, gateway 198.18.4.1, resolvers 198.18.0.53',
  ])
  t.end()
})

void t.test('bonds are teams, and VLANs stand on them', (t) => {
  const bond = { ...NIC, kind: 'bond', mode: '802.3ad', xmitHashPolicy: 'layer3+4' } as const
  const network: NetworkModel = {
    links: [
      { ...NIC, id: 'root', mac: '52:54:00:12:34:56', isRoot: true },
      { ...NIC, id: 'port1', mac: '52:54:00:ab:cd:ef', ipv4: { kind: 'none' } },
      { ...NIC, id: 'port2', mac: '52:54:00:ab:cd:f0', ipv4: { kind: 'none' } },
      { ...bond, id: 'team', members: ['port1', 'port2'] },
      {
        ...NIC,
        ...{ kind: 'vlan', id: 'vlan7', parent: 'team', vlanId: 7 },
        ipv4: { kind: 'static', address: '198.18.7.7', prefixLength: 24 },
      },
    ],
    dns: [],
    search: [],
  }
  t.strictSame(networkSteps(fromDisk({ ...WINDOWS, network }), new Set([...ADAPTERS, '52:54:00:ab:cd:f0'])), [
    '52:54:00:12:34:56 is root',
    '52:54:00:ab:cd:ef is port1',
    '52:54:00:ab:cd:f0 is port2',
    'team team of port1 and port2, 802.3ad',
    'vlan7 is VLAN 7 of team team',
    'vlan7 has 198.18.7.7 255.255.255.0, gateway none, resolvers ',
  ])
  t.end()
})

for (const { name, nics, model } of sampleNetworks().filter((one) => one.name !== 'vlan-on-root-nic')) {
  const adapters = new Set(nics.map(({ mac }) => mac.toLowerCase()))
  const input = { ...WINDOWS, network: model }

  void t.test(`Cloudbase-Init goes through with the network ${name}, and leaves the root NIC alone`, (t) => {
    const root = model.links.find((link) => link.kind === 'nic' && link.isRoot)
    const steps = networkSteps(fromDisk(input), adapters)
    t.notOk(steps.some((step) => step.startsWith(`${root?.id ?? '?'} has `) && !step.includes(':')))
    t.end()
  })

  void t.test(`the plug-in of the cloud's images goes through with the network ${name}`, (t) => {
    const teams = teamsOf(fromDisk({ ...input, networkQuirks: { bondAlways: true } }), adapters)
    const wanted = model.links.filter(({ kind }) => kind !== 'nic')
    for (const { id } of wanted)
      t.ok(
        teams.some((team) => team.startsWith(`${id}: `)),
        id,
      )
    t.end()
  })
}

for (const [field, what, change] of [
  ['network.links[1].parent', 'is the root NIC', { network: sampleNetwork('vlan-on-root-nic').model }],
  ['hostname', 'is digits only', { hostname: '007' }],
  ['keys[1].publicKey', 'is not RSA', { keys: [...WINDOWS.keys, { name: 'b', publicKey: ED25519 }] }],
  ['adminPasswordHash', 'is given', { adminPasswordHash: _hash ?? '' }],
] as const) {
  void t.test(`a Windows seed is refused when ${field} ${what}`, (t) => {
    t.throws(() => renderSeedDisk({ ...WINDOWS, ...change }), {
      code: 'INVALID_INPUT',
      message: `${field}: `,
    })
    t.end()
  })
}
