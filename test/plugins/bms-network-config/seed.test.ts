import { mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { runCommand } from '../../../src/command.js'
import { writeIso9660 } from '../../../src/firstboot/seed/iso9660.js'
import { renderSeedDisk } from '../../../src/firstboot/seed/seed-disk.js'
import { needs, outputOf } from '../../firstboot/seed/debian-tool.js'
import { FULL_SEED } from '../../firstboot/seed/sample-seed.js'
import { documentOf, DOCUMENTS, type Document } from './documents.js'
import { GuestTree, PROGRAM, runProgram } from './guest-tree.js'

const OPENED = /^\/etc\/systemd\/network\/10-ingot-nic\d\.network: missing/

/** What `check` says of a seed that lies at `path`. */
async function checkOf(folder: string, path: string): Promise<{ code: number; stdout: string }> {
  const { root } = new GuestTree(join(folder, 'guest'), 'networkd')
  const said = await runProgram(['check', '--root', root, '--seed', path])
  rmSync(join(folder, 'guest'), { recursive: true })
  return said
}

function iso(document: Document | string, version = 'latest', label = 'config-2'): Buffer {
  const bytes = Buffer.from(typeof document === 'string' ? document : JSON.stringify(document))
  return writeIso9660(label, [{ path: `openstack/${version}/network_data.json`, bytes }], 0)
}

void t.test('our seed disk is read from its partition', async (t) => {
  const folder = t.testdir()
  writeFileSync(join(folder, 'disk'), renderSeedDisk(FULL_SEED))
  t.match(await checkOf(folder, join(folder, 'disk')), { code: 1, stdout: OPENED })
})

void t.test('a volume alone is read, whatever the case of its label', async (t) => {
  const folder = t.testdir()
  for (const label of ['config-2', 'CONFIG-2']) {
    writeFileSync(join(folder, 'iso'), iso(documentOf('static'), 'latest', label))
    t.match(await checkOf(folder, join(folder, 'iso')), { code: 1, stdout: OPENED })
  }
})

const genisoimage = needs('genisoimage')
for (const names of ['-J', '-R', '-J -R']) {
  void t.test(
    `a volume of genisoimage ${names} is read${genisoimage.note}`,
    { skip: genisoimage.skip },
    async (t) => {
      const folder = t.testdir()
      new GuestTree(folder, 'networkd').wish(documentOf('static'))
      const made = [
        '-quiet',
        '-V',
        'config-2',
        ...names.split(' '),
        '-o',
        join(folder, 'iso'),
        join(folder, 'seed'),
      ]
      outputOf('/usr/bin/genisoimage', made)
      t.match(await checkOf(folder, join(folder, 'iso')), { code: 1, stdout: OPENED })
    },
  )
}

void t.test('the newest version that is known and has a network is read', async (t) => {
  const folder = t.testdir()
  const seed = join(folder, 'seed/openstack')
  const texts = {
    '2015-10-15': 'static',
    '2018-08-27': 'dhcp',
    '2999-01-01': 'storage-nic',
    latest: 'static',
  }
  for (const [version, name] of Object.entries(texts)) {
    mkdirSync(join(seed, version), { recursive: true })
    writeFileSync(join(seed, version, 'network_data.json'), JSON.stringify(documentOf(name)))
  }
  mkdirSync(join(seed, '2020-10-14'))
  const { stdout } = await checkOf(folder, join(folder, 'seed'))
  t.match(stdout, '10-ingot-nic2.network', 'dhcp has two NICs')
})

void t.test('the disk is found by its label among others, and read anew each time', async (t) => {
  const guest = new GuestTree(t.testdir(), 'networkd')
  const devices = {
    sda: Buffer.alloc(1 << 16),
    sdb: iso(documentOf('static'), 'latest', 'cidata'),
    sdc: iso(documentOf('dhcp')),
  }
  for (const [name, bytes] of Object.entries(devices)) {
    guest.write(`sys/class/block/${name}/size`, String(bytes.length / 512))
    guest.write(`dev/${name}`, '')
    writeFileSync(join(guest.root, 'dev', name), bytes)
  }
  const first = await runProgram(['check', '--root', guest.root])
  t.match(first.stdout, '10-ingot-nic2.network: missing')
  writeFileSync(join(guest.root, 'dev/sdc'), iso(documentOf('static')))
  const second = await runProgram(['check', '--root', guest.root])
  t.notMatch(second.stdout, 'nic2')
  guest.write('sys/class/block/sdc/size', String(1 << 21))
  const third = await runProgram(['check', '--root', guest.root])
  t.match(third, { code: 2, stdout: 'cannot: no volume labelled config-2' }, 'a large disk is not opened')
})

void t.test('what is no seed is refused with exit code 2 and a sentence', async (t) => {
  const folder = t.testdir()
  const full = iso(documentOf('static'))
  const cases: readonly (readonly [string, Buffer, string])[] = [
    ['nothing', Buffer.alloc(0), 'ends at byte 0'],
    ['zeros', Buffer.alloc(1 << 20), 'no ISO 9660 volume'],
    ['another label', iso(documentOf('static'), 'latest', 'cidata'), "labelled 'cidata', not config-2"],
    [
      'no document',
      writeIso9660('config-2', [{ path: 'a', bytes: Buffer.alloc(1) }], 0),
      'no openstack/*/network_data.json',
    ],
    ['no JSON', iso('{"links": ['), 'is no JSON'],
    ['deep JSON', iso('['.repeat(100_000)), 'is no JSON'],
    ['a list', iso('[]'), 'the document: expected dict'],
    ['no links', iso('{"links": []}'), 'links: expected at least one'],
    ['cut off', full.subarray(0, full.length - 2048), 'ends at byte'],
  ]
  for (const [name, bytes, reason] of cases) {
    writeFileSync(join(folder, 'image'), bytes)
    t.match(await checkOf(folder, join(folder, 'image')), { code: 2, stdout: /^cannot: [^\n]+\n$/ }, name)
    t.match((await checkOf(folder, join(folder, 'image'))).stdout, reason, name)
  }
  truncateSync(join(folder, 'image'), 0)
  t.match(await checkOf(folder, '/dev/zero'), { code: 2, stdout: 'neither a disk' })
})

void t.test('what a network cannot be is refused, and the field is named', async (t) => {
  const [nic, other] = documentOf('802.3ad').links
  const bond = documentOf('802.3ad').links[2]
  const cases: readonly (readonly [object, string])[] = [
    [{ links: [nic, nic] }, 'links[1].id: "nic2" is used twice'],
    [{ links: [nic, { ...nic, id: 'twin' }] }, 'links: a MAC address is used by two NICs'],
    [{ links: [{ ...nic, ethernet_mac_address: '01:00:5e:00:00:01' }] }, 'links[0].ethernet_mac_address'],
    [{ links: [nic, other, { ...bond, bond_mode: '9' }] }, 'links[2].bond_mode'],
    [{ links: [nic, other, { ...bond, bond_links: ['nic2', 'eth9'] }] }, 'links[2].bond_links'],
    [{ links: [nic, other, { ...bond, id: 'a;reboot' }] }, 'bond0'],
    [{ links: [nic, { id: 'v', type: 'vlan', vlan_link: 'nic2', vlan_id: 4095 }] }, 'links[1].vlan_id'],
    [{ links: [nic], networks: [{ link: 'nic9', type: 'ipv4_dhcp' }] }, 'networks[0].link'],
    [{ links: [nic], networks: [{ link: 'nic2', type: 'ipx' }] }, 'networks[0].type'],
    [
      {
        links: [nic],
        networks: [{ link: 'nic2', type: 'ipv4', ip_address: '1.2.3.4', netmask: '255.0.255.0' }],
      },
      'is no netmask',
    ],
    [
      { links: [nic], networks: [{ link: 'nic2', type: 'ipv4_dhcp', dns_search: ['a b\n'] }] },
      'networks[0].dns_search',
    ],
    [
      { links: [nic, other, bond], networks: [{ link: 'nic2', type: 'ipv4_dhcp' }] },
      'nic2 has addresses and is a member of bond0',
    ],
  ]
  const folder = t.testdir()
  const seed = join(folder, 'seed/openstack/latest')
  mkdirSync(seed, { recursive: true })
  for (const [document, reason] of cases) {
    writeFileSync(join(seed, 'network_data.json'), JSON.stringify(document))
    t.match((await checkOf(folder, join(folder, 'seed'))).stdout, reason, reason)
  }
})

void t.test('any bytes and any values give a network or a refusal, soon', async (t) => {
  const folder = t.testdir()
  writeFileSync(join(folder, 'disk'), renderSeedDisk(FULL_SEED).subarray(0, 1 << 20))
  writeFileSync(join(folder, 'iso'), iso(documentOf('vlan-on-bond')))
  const images = [join(folder, 'disk'), join(folder, 'iso')]
  const stdin = Object.values(DOCUMENTS)
    .map((document) => `${JSON.stringify(document)}\n`)
    .join('')
  const script = 'test/plugins/bms-network-config/mutations.py'
  const { stdout } = await runCommand('/usr/bin/python3', [script, PROGRAM, ...images], {
    timeoutMs: 100_000,
    stdin,
  })
  t.match(stdout, /^1320 images and \d{4,} documents, some read: True, slowest below 1 s: True$/m)
})

void t.test('documents of our renderer, and the real one of the cloud, are read', async (t) => {
  const folder = t.testdir()
  const seed = join(folder, 'seed/openstack/latest')
  mkdirSync(seed, { recursive: true })
  const fixtures = 'fixtures/firstboot/network'
  const documents = readdirSync(fixtures, { recursive: true, encoding: 'utf8' }).filter((path) =>
    /network_data.*\.json$/.test(path),
  )
  t.ok(documents.length > 20)
  for (const path of documents) {
    writeFileSync(join(seed, 'network_data.json'), readFileSync(join(fixtures, path)))
    const { code, stdout } = await checkOf(folder, join(folder, 'seed'))
    t.equal(code, 1, `${path}: ${stdout}`)
  }
})
