import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { documentOf, NICS } from './documents.js'
import { BARE, up, type KernelState } from './guest-tree.js'
import {
  ADDRESS,
  bond,
  GATEWAY,
  guestWith,
  member,
  STATIC,
  vlan,
  VLAN_ON_BOND,
  written,
} from './kernel-states.js'

void t.test('check names each difference of the kernel in a line, and changes nothing', async (t) => {
  const cases: readonly (readonly [string, string, KernelState, readonly string[]])[] = [
    ['nothing', 'static', STATIC, ['nothing differs from config-2 (networkd)']],
    [
      'address, route and MTU',
      'static',
      { address: [up('ens3', NICS[0])] },
      [
        'nic 52:54:00:00:00:01: MTU is 1500, not 1400',
        'nic 52:54:00:00:00:01: address 198.18.0.11/24 is gone',
        'nic 52:54:00:00:00:01: route 0.0.0.0/0 via 198.18.0.1 is gone',
        'nic 52:54:00:00:00:01: route 10.9.0.0/16 via 198.18.0.2 is gone',
      ],
    ],
    [
      'too much',
      'static',
      {
        address: [up('ens3', NICS[0], [ADDRESS, '10.1.1.1/24'], { mtu: 1400 })],
        route4: [...(STATIC.route4 ?? []), { dst: '10.7.0.0/16', gateway: '198.18.0.9', dev: 'ens3' }],
      },
      [
        'nic 52:54:00:00:00:01: address 10.1.1.1/24 is not wished',
        'nic 52:54:00:00:00:01: route 10.7.0.0/16 via 198.18.0.9 is not wished',
      ],
    ],
    ['no such NIC', 'static', { address: [up('ens4', NICS[1])] }, ['nic 52:54:00:00:00:01: missing']],
    [
      'down',
      'dhcp',
      { address: [up('ens3', NICS[0], [ADDRESS], { flags: [] }), up('ens4', NICS[1])] },
      ['nic 52:54:00:00:00:01: is down', 'nic 52:54:00:00:00:02: has no address from DHCP'],
    ],
    [
      'bond and VLAN',
      'vlan-on-bond',
      BARE,
      [
        'nic 52:54:00:00:00:02: is a member of nothing, not of bond0',
        'nic 52:54:00:00:00:03: is a member of nothing, not of bond0',
        'bond0: missing',
        'vlan7: missing',
      ],
    ],
    [
      'wrong options',
      'vlan-on-bond',
      {
        ...VLAN_ON_BOND,
        address: [...VLAN_ON_BOND.address.slice(1, 3), bond({ mode: 'active-backup' }), vlan([ADDRESS], 8)],
      },
      ['bond0: mode is active-backup, not 802.3ad', 'vlan7: is VLAN 8 on bond0, not 7 on bond0'],
    ],
    ['bond and VLAN as wished', 'vlan-on-bond', VLAN_ON_BOND, ['nothing differs from config-2 (networkd)']],
  ]
  const folder = t.testdir()
  for (const [index, [name, document, state, expected]] of cases.entries()) {
    const guest = await written(join(folder, String(index)), 'networkd', document, state)
    const before = guest.texts()
    const { code, stdout } = await guest.run(['check'], 'programs')
    t.same(stdout.trimEnd().split('\n'), expected, name)
    t.equal(code, expected.join('').startsWith('nothing') ? 0 : 1, name)
    t.same(guest.calls(), [], name)
    t.equal(guest.texts(), before, name)
  }
})

void t.test('a NIC under the root disk is configured and never taken down', async (t) => {
  const folder = t.testdir()
  for (const backend of ['netplan', 'networkd', 'NetworkManager', 'ifupdown', 'ifcfg']) {
    const guest = await written(join(folder, backend), backend, 'static', BARE)
    guest.write('sys/firmware/ibft/ethernet0/mac', `${NICS[0]}\n`)
    guest.kernel(STATIC, 'after')
    const { code, stdout } = await guest.run([], 'programs')
    t.equal(code, 0, stdout)
    t.not(guest.calls().length, 0)
    t.notMatch(guest.calls().join('\n'), /ifdown|down|nomaster|link del/, backend)
  }
})

void t.test(
  'the root NIC as a member of a bond is refused with the reason, and nothing is written',
  async (t) => {
    const guest = guestWith(t.testdir(), 'networkd', '802.3ad', BARE)
    guest.write('sys/firmware/ibft/ethernet0/mac', '52:54:00:00:00:02\n')
    const { code, stdout } = await guest.run([], 'programs')
    t.equal(code, 2)
    t.match(stdout, 'cannot: nic 52:54:00:00:00:02 carries the root disk and cannot be a member of bond0')
    t.equal(guest.texts(), '')
    t.same(guest.calls(), [])
  },
)

void t.test(
  'an address and a route that the root disk uses stay, though the document does not have them',
  async (t) => {
    const state: KernelState = {
      address: [up('ens3', NICS[0], [ADDRESS, '198.19.0.5/24'], { mtu: 1400 })],
      route4: [...(STATIC.route4 ?? []), { dst: '203.0.113.0/24', gateway: '198.19.0.1', dev: 'ens3' }],
    }
    const guest = await written(t.testdir(), 'networkd', 'static', state)
    guest.write('sys/class/iscsi_connection/connection1:0/persistent_address', '203.0.113.9\n')
    guest.write(
      '../tools/get.json',
      JSON.stringify([{ dst: '203.0.113.9', dev: 'ens3', gateway: '198.19.0.1', prefsrc: '198.19.0.5' }]),
    )
    // a root NIC is told to keep what it has, so its file differs from that of another
    await guest.run(['--early'], 'programs')
    const { code, stdout } = await guest.run(['check'], 'programs')
    t.equal(stdout, 'nothing differs from config-2 (networkd)\n')
    t.equal(code, 0)
  },
)

void t.test(
  'routes of the initramfs go from a storage NIC, but not the one that leads to the root disk',
  async (t) => {
    const address = [up('ens3', NICS[0], ['198.19.0.5/24']), up('ens4', NICS[1], [ADDRESS])]
    const wished = [
      { ...GATEWAY, dev: 'ens4' },
      { dst: '198.19.0.0/24', dev: 'ens3', protocol: 'kernel', scope: 'link' },
      { dst: '203.0.113.9', dev: 'ens3', scope: 'link' },
    ]
    const made = [
      { dst: 'default', gateway: '198.19.0.1', dev: 'ens3' },
      { dst: '198.19.0.1', dev: 'ens3', scope: 'link' },
    ]
    const guest = await written(t.testdir(), 'ifcfg', 'storage-nic', {
      address,
      route4: [...wished, ...made],
    })
    guest.kernel({ address, route4: wished }, 'after')
    guest.write('sys/class/iscsi_connection/connection1:0/persistent_address', '203.0.113.9\n')
    guest.write(
      '../tools/get.json',
      JSON.stringify([{ dst: '203.0.113.9', dev: 'ens3', prefsrc: '198.19.0.5' }]),
    )
    const { code, stdout } = await guest.run(['check'], 'programs')
    t.equal(code, 1)
    t.match(stdout, 'storage nic 52:54:00:00:00:01: route 0.0.0.0/0 via 198.19.0.1 is not wished\n')
    t.match(stdout, 'storage nic 52:54:00:00:00:01: route 198.19.0.1/32 is not wished\n')
    await guest.run([], 'programs')
    t.match(guest.calls(), [
      'ip -4 route del 0.0.0.0/0 via 198.19.0.1 dev ens3',
      'ip -4 route del 198.19.0.1/32 dev ens3',
    ])
  },
)

void t.test('the primary of a bond is compared, and set where it is not', async (t) => {
  const members = [member('ens4', NICS[1]), member('ens5', NICS[2])]
  const data = { mode: 'active-backup', miimon: 200 }
  const bonded = (more: object): KernelState => ({
    address: [
      up('ens3', NICS[0]),
      ...members,
      { ...bond({ ...data, ...more }), mtu: 9000, addr_info: up('', '', [ADDRESS])['addr_info'] },
    ],
    route4: [GATEWAY],
  })
  const guest = await written(t.testdir(), 'networkd', 'active-backup', bonded({}))
  guest.kernel(bonded({ primary: 'ens5' }), 'after')
  const { code, stdout } = await guest.run([], 'programs')
  t.equal(code, 0)
  t.match(stdout, 'bond0: its primary is nobody, not ens5\n')
  t.equal(guest.calls()[0], 'ip link set dev bond0 type bond primary ens5')
})

void t.test('what is too much on an interface is taken away', async (t) => {
  const extra = {
    address: [up('ens3', NICS[0], [ADDRESS, '10.1.1.1/24'], { mtu: 1400 })],
    route4: STATIC.route4 ?? [],
  }
  const guest = await written(t.testdir(), 'ifcfg', 'static', extra)
  await guest.run([], 'programs')
  t.match(guest.calls(), ['ifdown ens3', 'ifup ens3', 'ip addr del 10.1.1.1/24 dev ens3'])
})

void t.test(
  'a bond with wrong options is made anew, and one that the document has no more goes',
  async (t) => {
    const wrong = [member('ens4', NICS[1]), member('ens5', NICS[2]), bond({ mode: 'balance-rr' }), vlan()]
    const guest = await written(t.testdir(), 'networkd', 'vlan-on-bond', { ...VLAN_ON_BOND, address: wrong })
    guest.kernel(VLAN_ON_BOND, 'after')
    await guest.run([], 'programs')
    t.equal(guest.calls()[0], 'ip link del dev bond0')
    guest.wish(documentOf('static'))
    guest.kernel({ ...STATIC, address: [...STATIC.address, ...wrong] })
    const { stdout } = await guest.run(['check'], 'programs')
    t.match(stdout, 'bond0: is not in the document\n')
    t.match(stdout, '/etc/systemd/network/10-ingot-bond0.netdev: stale\n')
  },
)

void t.test('what is not there in time is said, with exit code 1', async (t) => {
  const guest = await written(t.testdir(), 'networkd', 'static', BARE)
  const { code, stdout } = await guest.run(['--wait', '0'], 'programs')
  t.equal(code, 1)
  t.match(stdout, 'still: nic 52:54:00:00:00:01: address 198.18.0.11/24 is gone')
})

void t.test('a dry run says what it would do, and does nothing', async (t) => {
  const guest = guestWith(t.testdir(), 'netplan', 'static', BARE)
  guest.write('etc/netplan/50-cloud-init.yaml', 'network: {ethernets: {ens3: {dhcp4: true}}}\n')
  const before = guest.files()
  const { code, stdout } = await guest.run(['--dry-run'], 'programs')
  t.equal(code, 0)
  t.match(stdout, 'would write /etc/netplan/60-ingot-network.yaml')
  t.match(stdout, 'would set aside /etc/netplan/50-cloud-init.yaml')
  t.match(stdout, 'would run: networkctl reload')
  t.same(guest.files(), before)
  t.same(guest.calls(), [])
})

void t.test('the log is turned over once at 1 MiB', async (t) => {
  const guest = await written(t.testdir(), 'networkd', 'static', STATIC)
  const log = 'var/log/bms-network-config.log'
  guest.write(log, 'x'.repeat((1 << 20) + 1))
  guest.write(`${log}.1`, 'older')
  await guest.run([], 'programs')
  t.match(guest.read(log), /^[0-9-]{10}T[0-9:+]+ nothing to do/)
  t.equal(statSync(join(guest.root, `${log}.1`)).size, (1 << 20) + 1)
  t.same(readdirSync(join(guest.root, 'var/log')).length, 2)
  t.ok(existsSync(join(guest.root, log)))
})
