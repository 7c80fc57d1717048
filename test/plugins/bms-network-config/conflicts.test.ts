import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { documentOf, NICS } from './documents.js'
import { GuestTree } from './guest-tree.js'

interface Case {
  readonly backend: string
  readonly document: string
  readonly path: string
  readonly text: string
  /** What is left at the place, or undefined for nothing. */
  readonly left?: string
  readonly reason: string
}

const DHCP = 'iface ens3 inet dhcp\n'
const LO = 'auto lo\niface lo inet loopback\n'
const CASES: readonly Case[] = [
  {
    ...{
      backend: 'netplan',
      document: 'static',
      path: 'etc/netplan/50-cloud-init.yaml',
      reason: 'also defines ens3',
    },
    text: 'network:\n  ethernets:\n    ens3:\n      dhcp4: true\n',
  },
  {
    ...{
      backend: 'netplan',
      document: 'static',
      path: 'etc/netplan/90-default.yaml',
      reason: 'also defines en*',
    },
    text: 'network:\n  ethernets:\n    all-en:\n      match: {name: "en*"}\n      dhcp4: true\n',
  },
  {
    ...{
      backend: 'netplan',
      document: 'static',
      path: 'etc/netplan/10.yaml',
      reason: 'also defines 52:54:00:00:00:01',
    },
    text: 'network: {ethernets: {x: {match: {macaddress: "52:54:00:00:00:01"}}}}\n',
  },
  {
    ...{
      backend: 'netplan',
      document: 'static',
      path: 'etc/netplan/11.yaml',
      reason: 'bytes that are no text',
    },
    text: '\u0000\u0001',
  },
  {
    ...{ backend: 'networkd', document: 'static', path: 'etc/systemd/network/10-cloud-init-ens3.network' },
    ...{ text: '[Match]\nName=ens3\n', reason: 'also matches ens3' },
  },
  {
    ...{ backend: 'networkd', document: '802.3ad', path: 'etc/systemd/network/90-bond.netdev' },
    ...{ text: '[NetDev]\nName=bond0\nKind=bond\n', reason: 'also defines bond0' },
  },
  {
    ...{
      backend: 'networkd',
      document: 'static',
      path: 'etc/systemd/network/10-ingot-nic1.network.d/mtu.conf',
    },
    ...{ text: '[Link]\nMTUBytes=9000\n', reason: 'changes /etc/systemd/network/10-ingot-nic1.network' },
  },
  {
    ...{
      backend: 'NetworkManager',
      document: 'static',
      path: 'etc/NetworkManager/system-connections/w.nmconnection',
    },
    ...{ text: '[connection]\ntype=ethernet\ninterface-name=ens3\n', reason: 'also defines ens3' },
  },
  {
    ...{ backend: 'NetworkManager', document: 'static', path: 'etc/NetworkManager/NetworkManager.conf' },
    ...{ text: '[main]\nplugins keyfile\n', reason: 'NetworkManager cannot read it' },
  },
  {
    ...{ backend: 'NetworkManager', document: 'static', path: 'etc/sysconfig/network-scripts/ifcfg-eth0' },
    ...{ text: 'DEVICE=eth0\nHWADDR="52:54:00:00:00:01"\n', reason: 'also defines 52:54:00:00:00:01' },
  },
  {
    ...{ backend: 'ifupdown', document: 'static', path: 'etc/network/interfaces.d/50-cloud-init' },
    ...{ text: `${LO}auto ens3\n${DHCP}`, left: LO, reason: 'also defines ens3' },
  },
  {
    ...{ backend: 'ifupdown', document: 'static', path: 'etc/network/interfaces.d/ens3' },
    ...{ text: `allow-hotplug ens3\n${DHCP}    dns-search x\n`, reason: 'also defines ens3' },
  },
  {
    ...{ backend: 'ifupdown', document: 'static', path: 'etc/network/interfaces.d/broken' },
    ...{
      text: 'auto ens9\niface ens9 inet\n',
      reason: "ifupdown cannot read it: incomplete 'iface ens9 inet'",
    },
  },
  {
    ...{
      backend: 'networkd',
      document: 'static',
      path: 'etc/network/interfaces',
      reason: 'also defines ens3',
    },
    ...{
      text: `auto ens3 ens9\n${DHCP}iface ens9 inet manual\n`,
      left: 'auto ens9\niface ens9 inet manual\n',
    },
  },
]

void t.test('what else defines our interfaces, or stops the back end, is set aside and kept', async (t) => {
  const folder = t.testdir()
  for (const [index, { backend, document, path, text, left, reason }] of CASES.entries()) {
    const guest = new GuestTree(join(folder, String(index)), backend)
    guest.wish(documentOf(document))
    if (backend === 'ifupdown')
      guest.write('etc/network/interfaces', `source /etc/network/interfaces.d/*\n${LO}`)
    guest.write(path, text)
    t.match((await guest.run(['check'], 'programs')).stdout, reason)
    t.equal(guest.read(path), text, 'check moves nothing')
    const { stdout } = await guest.run(['--early'], 'programs')
    t.match(stdout, new RegExp(`set aside /etc/[^\\n]*${reason.replace(/[*'.]/g, '.')}`))
    t.equal(guest.files().includes(path) ? guest.read(path) : undefined, left, path)
    const kept = guest.files().filter((name) => name.startsWith('var/lib/ingot/network/aside/'))
    t.equal(kept.map((name) => guest.read(name)).join(''), text, 'kept as it was')
    t.match(guest.read('var/lib/ingot/network/manifest.json'), reason.slice(0, 12))
    t.match((await guest.run(['--early'], 'programs')).stdout, /^nothing to do/)
  }
})

void t.test('what defines other interfaces stays', async (t) => {
  const others: Readonly<Record<string, string>> = {
    'etc/netplan/20-other.yaml': '# ens3\nnetwork: {ethernets: {ens9: {dhcp4: true}}}\n',
    'etc/systemd/network/20-wired.network': '[Match]\nName=en*\n[Network]\nDHCP=yes\n',
    'etc/systemd/network/05-other.network': '[Match]\nName=ens9\n',
    'etc/NetworkManager/system-connections/other.nmconnection': '[connection]\ninterface-name=ens9\n',
    'etc/NetworkManager/NetworkManager.conf': '# ours\n[main]\nplugins=ifupdown,keyfile\n',
    'etc/network/interfaces': 'auto lo ens9\niface lo inet loopback\niface ens9 inet dhcp\n',
    'etc/sysconfig/network-scripts/ifcfg-lo': 'DEVICE=lo\n',
  }
  const guest = new GuestTree(t.testdir(), 'networkd')
  guest.wish(documentOf('static'))
  for (const [path, text] of Object.entries(others)) guest.write(path, text)
  await guest.run(['--early'], 'programs')
  for (const [path, text] of Object.entries(others)) t.equal(guest.read(path), text, path)
  t.notOk(readdirSync(join(guest.root, 'var/lib/ingot/network')).includes('aside'))
})

void t.test("ifupdown's main file is made to read ours, or made at all", async (t) => {
  const folder = t.testdir()
  const minimal = `source /etc/network/interfaces.d/*\n\n${LO}`
  const cases: readonly (readonly [string, string | undefined, string])[] = [
    ['missing', undefined, minimal],
    [
      'reads others',
      `source interfaces.d/*.cfg\n${LO}`,
      `source interfaces.d/*.cfg\n${LO}\nsource /etc/network/interfaces.d/50-ingot\n`,
    ],
    ['reads the folder', `source-directory interfaces.d\n${LO}`, `source-directory interfaces.d\n${LO}`],
    ['garbled', 'source /etc/network/interfaces.d/*\nauto lo\n  x y\n', minimal],
  ]
  for (const [name, text, expected] of cases) {
    const guest = new GuestTree(join(folder, name), 'ifupdown')
    guest.wish(documentOf('static'))
    if (text !== undefined) guest.write('etc/network/interfaces', text)
    await guest.run(['--early'], 'programs')
    t.equal(guest.read('etc/network/interfaces'), expected, name)
    t.match((await guest.run(['--early'], 'programs')).stdout, /^nothing to do/, name)
  }
})

void t.test('a storage NIC is kept from every back end that is there', async (t) => {
  const guest = new GuestTree(t.testdir(), 'ifupdown')
  guest.wish(documentOf('storage-nic'))
  guest.write('sys/firmware/ibft/ethernet0/mac', `${NICS[0]}\n`)
  guest.write('usr/sbin/NetworkManager', '')
  guest.write('usr/lib/systemd/systemd-networkd', '')
  guest.write('etc/network/interfaces', `auto ens3\n${DHCP}`)
  guest.write('etc/systemd/system/multi-user.target.wants/dhcpcd.service', '')
  guest.write('etc/dhcpcd.conf', 'hostname\n')
  // it would take the NICs of the document too, for which ifupdown was chosen
  guest.write('etc/ingot/bms-network-config.conf', '[network]\nbackend = ifupdown\n')
  guest.write('etc/systemd/system/multi-user.target.wants/NetworkManager.service', '')
  await guest.run(['--early'], 'programs')
  t.match(
    guest.read('etc/systemd/network/05-ingot-unmanaged.network'),
    'PermanentMACAddress=52:54:00:00:00:01\n',
  )
  const both = 'match-device=mac:52:54:00:00:00:01,mac:52:54:00:00:00:02\nmanaged=0\n'
  t.match(guest.read('etc/NetworkManager/conf.d/90-ingot-unmanaged.conf'), both)
  t.notMatch(guest.read('etc/network/interfaces'), 'ens3')
  t.notMatch(guest.read('etc/network/interfaces.d/50-ingot'), 'ens3')
  t.equal(guest.read('etc/dhcpcd.conf'), 'hostname\ndenyinterfaces ens3 ens4  # bms-network-config\n')
  t.match((await guest.run(['--early'], 'programs')).stdout, /^nothing to do/)
})

void t.test('files of another back end or of links that are no more go away', async (t) => {
  const guest = new GuestTree(t.testdir(), 'networkd')
  guest.wish(documentOf('vlan-on-bond'))
  await guest.run(['--early'], 'programs')
  guest.wish(documentOf('static'))
  guest.write('etc/ingot/bms-network-config.conf', '[network]\nbackend = NetworkManager\n')
  await guest.run(['--early'], 'programs')
  const ours = guest.files().filter((path) => path.includes('ingot-') && path.startsWith('etc/'))
  // networkd is enabled still, and must leave the NIC alone
  const guard = 'etc/systemd/network/05-ingot-unmanaged.network'
  t.same(ours, ['etc/NetworkManager/system-connections/ingot-nic1.nmconnection', guard])
})

void t.test('a manifest that was garbled is no licence to delete', async (t) => {
  const guest = new GuestTree(t.testdir(), 'networkd')
  guest.wish(documentOf('static'))
  guest.write('etc/passwd', 'root\n')
  for (const text of ['{"files": ["/etc/passwd"], "aside": 7, "devices": [[]]}', '\u0000', '[]']) {
    guest.write('var/lib/ingot/network/manifest.json', text)
    t.equal((await guest.run(['--early'], 'programs')).code, 0)
    t.equal(guest.read('etc/passwd'), 'root\n')
  }
})

void t.test('the back end that is in force is chosen, or the one that is asked for, or none', async (t) => {
  const wants = 'etc/systemd/system/multi-user.target.wants'
  const networkd = 'usr/lib/systemd/systemd-networkd'
  const cases: readonly (readonly [readonly string[], string])[] = [
    [['sbin/ifup', networkd, `${wants}/networking.service`], 'ifupdown'],
    [['sbin/ifup', networkd, `${wants}/networking.service`, `${wants}/systemd-networkd.service`], 'networkd'],
    [
      [
        'sbin/ifup',
        'usr/sbin/NetworkManager',
        `${wants}/NetworkManager.service`,
        `${wants}/networking.service`,
      ],
      'NetworkManager',
    ],
    [['usr/sbin/netplan', networkd, 'etc/netplan/a.yaml', `${wants}/systemd-networkd.service`], 'netplan'],
    [['usr/sbin/netplan', networkd, `${wants}/systemd-networkd.service`], 'networkd'],
    [[networkd], 'networkd'],
    [['usr/sbin/netplan', networkd, 'usr/lib/systemd/system-generators/netplan'], 'netplan'],
    [
      [
        'usr/sbin/netplan',
        networkd,
        'usr/lib/systemd/system-generators/netplan',
        'etc/systemd/network/20-lan.network',
        `${wants}/systemd-networkd.service`,
      ],
      'networkd',
    ],
    [[], 'cannot: no network back end'],
  ]
  const folder = t.testdir()
  for (const [index, [signs, chosen]] of cases.entries()) {
    const guest = new GuestTree(join(folder, String(index)), 'none')
    guest.wish(documentOf('static'))
    for (const path of ['etc/os-release', ...signs]) guest.write(path, '')
    const { stdout, code } = await guest.run(['apply', '--early', '--dry-run'])
    t.equal(code, chosen.startsWith('cannot') ? 2 : 0)
    const sign: Readonly<Record<string, string>> = {
      ifupdown: '50-ingot',
      networkd: '10-ingot-nic1.network',
      netplan: '60-ingot',
      NetworkManager: 'ingot-nic1.nmconnection',
    }
    t.match(stdout, sign[chosen] ?? chosen, `${signs.join(' ')}: ${chosen}`)
  }
})

void t.test('it can be switched off, and says when its settings are garbled', async (t) => {
  const guest = new GuestTree(t.testdir(), 'networkd')
  guest.wish(documentOf('static'))
  guest.write('etc/ingot/bms-network-config.conf', '[network]\nenabled = no\n')
  t.match(await guest.run([]), { code: 0, stdout: 'switched off in /etc/ingot/bms-network-config.conf\n' })
  for (const text of ['enabled', '[network]\nenabled = perhaps\n', '[network]\nbackend = wicd\n']) {
    guest.write('etc/ingot/bms-network-config.conf', text)
    t.match(await guest.run([]), { code: 2, stdout: /^cannot: \/etc\/ingot\/bms-network-config.conf: / })
  }
})
