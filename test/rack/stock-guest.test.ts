import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { ServerView } from '../../src/operator/api/schema.js'
import { buildImage } from '../../src/rootdisk/image/build.js'
import { inGuest, reasonForNoLongTest, seconds, type Guest } from './guest.js'
import { ADDRESS, CACHE_DIR, Stand } from './stand.js'

// A Debian of Debian's packages alone, with open-iscsi set up as its README says and cloud-init as it comes: what it
// is and how it is connected is taken from the seed disk, with no kernel argument of ours. Then the same disk's image
// as another server, and the same server deployed again: nothing that tells one system from another is shared.
const LIMIT_MS = 1_800_000
const RECIPE = 'debian-12-stock'
const USER_DATA = `#cloud-config
write_files:
  - path: /etc/ingot-guest
    content: user data ran
`
/** What DHCP and the iBFT do not say. */
const TENANT_MTU = 1400
const TENANT = '198.18.7.5'
const DNS = '198.18.7.53'

const reason = reasonForNoLongTest()
const note = reason === undefined ? '' : ` (skipped: ${reason})`

t.setTimeout(LIMIT_MS)

/** What must not be the same in two systems. */
interface Identity {
  readonly machineId: string
  readonly hostKeys: string
  readonly instanceId: string
  readonly initiatorName: string
}

function network(macs: readonly string[], rootIp: string): object {
  const [root, tenant] = macs
  const fixed = (address: string): object => ({ kind: 'static', address, prefix_length: 24 })
  return {
    links: [
      { kind: 'nic', id: 'root0', mac: root, ipv4: fixed(rootIp) },
      { kind: 'nic', id: 'data0', mac: tenant, mtu: TENANT_MTU, ipv4: fixed(TENANT) },
    ],
    dns: [DNS],
    search: ['stock.test'],
  }
}

async function createServer({ stand, name, machine }: Guest): Promise<void> {
  const macs = machine.nics.map(({ mac }) => mac)
  const [userData, document] = [join(stand.dir, 'user-data'), join(stand.dir, `${name}.network`)]
  await writeFile(userData, USER_DATA)
  await writeFile(document, JSON.stringify(network(macs, machine.ip)))
  await stand.ingot(
    ...['machine', 'add', machine.name, '--firmware', 'bios'],
    ...macs.flatMap((mac, i) => ['--nic', `${mac}${i === 0 ? `,ip=${machine.ip}` : ''},role=tenant`]),
    ...['--bmc', `redfish://${ADDRESS}:8000/redfish/v1/Systems/${machine.name}`],
    ...['--bmc-credentials-file', join(stand.rigDir, 'bmc-credentials')],
    ...['--console-file', join(stand.rigDir, machine.name, 'console.log')],
  )
  await stand.ingot(
    ...['server', 'create', name, '--image', RECIPE, '--machine', machine.name],
    ...['--ssh-key', join(stand.dir, 'key.pub'), '--user-data', userData, '--network', document],
  )
}

async function start(t: Test, { stand, name }: Guest): Promise<void> {
  const beganMs = performance.now()
  await stand.ingot('server', 'start', name, '--wait', '--timeout', '900')
  t.comment(`ready ${seconds(beganMs)} s after the start`)
}

async function proveSeedRead(t: Test, guest: Guest): Promise<void> {
  const facts = await inGuest(
    guest,
    `cat /proc/cmdline
     hostname
     cat /etc/ingot-guest; echo
     lsblk -n -s -o TRAN "$(findmnt -no SOURCE /)" | tr -d ' \\n'; echo
     ls -d /usr/lib/ingot 2>/dev/null || echo 'nothing of ours'
     cloud-init status --wait | tail -n 1`,
  )
  const [cmdline = '', host, userData, root, ours, status] = facts.split('\n')
  t.notMatch(cmdline, /ds=|ip=|iscsi|cloud|network/i, 'its kernel was told nothing of us')
  t.equal(host, guest.name, 'the host name is the server name')
  t.equal(userData, 'user data ran', 'the user data ran')
  t.equal(root, 'iscsi', 'its root is on iSCSI')
  t.equal(ours, 'nothing of ours', 'the image has no plug-in')
  t.match(status, /done/, 'cloud-init is done')
}

async function proveNetwork(t: Test, guest: Guest): Promise<void> {
  const [, tenantNic] = guest.machine.nics
  const facts = await inGuest(
    guest,
    `nic=$(basename "$(dirname "$(grep -l ${tenantNic?.mac ?? ''} /sys/class/net/*/address)")")
     cat /sys/class/net/$nic/mtu
     ip -4 -o addr show dev $nic | awk '{ print $4 }'
     resolvectl dns | tr '\\n' ' '; echo
     tail -n 20 /var/log/ingot-network.log`,
  )
  const [mtu, address, dns, ...said] = facts.split('\n')
  for (const line of said) t.comment(line)
  t.equal(mtu, String(TENANT_MTU), "the other NIC's MTU is the seed's")
  t.equal(address, `${TENANT}/24`, 'and so is its address')
  t.match(dns, DNS, 'and the name server')
}

async function identity(guest: Guest): Promise<Identity> {
  const text = await inGuest(
    guest,
    `cat /etc/machine-id
     cat /etc/ssh/ssh_host_*_key.pub | awk '{ print $2 }' | tr '\\n' ' '; echo
     cat /var/lib/cloud/data/instance-id
     cat /sys/class/iscsi_session/*/initiatorname | sort -u`,
  )
  const [machineId = '', hostKeys = '', instanceId = '', initiatorName = ''] = text.split('\n')
  return { machineId, hostKeys, instanceId, initiatorName }
}

async function deployAgain(t: Test, guest: Guest, before: Identity): Promise<void> {
  const { stand, name } = guest
  await stand.ingot('server', 'stop', name)
  const old = await stand.ingotJson<ServerView>('server', 'show', name)
  await stand.ingot('server', 'redeploy', name)
  await start(t, guest)
  const after = await identity(guest)
  // not the machine-id: in a virtual machine systemd makes it of the firmware's UUID (machine-id(5)), which stays
  t.not(after.hostKeys, before.hostKeys, 'other host keys')
  t.not(after.instanceId, before.instanceId, 'another instance-id')
  t.equal((await stand.ingotJson<ServerView>('server', 'show', name)).id, old.id, 'of the same server')
}

void t.test(
  `an image with nothing of ours is who and where its seed disk says${note}`,
  { skip: reason !== undefined },
  async (t) => {
    t.setTimeout(LIMIT_MS)
    await buildImage(RECIPE, { cacheDir: CACHE_DIR })
    const stand = await Stand.make(`stock${process.pid}`, [
      { firmware: 'bios', segments: ['storage', 'tenant'] },
      { firmware: 'bios', segments: ['storage', 'tenant'] },
    ])
    t.teardown(() => stand.tearDown(!t.passing()))
    const [one, two] = stand.machines
    if (one === undefined || two === undefined) throw new Error('no machines')
    const [first, second] = [
      { stand, name: 'stock1', machine: one },
      { stand, name: 'stock2', machine: two },
    ]
    await stand.startDaemon()
    await stand.ingot('image', 'build', RECIPE)
    await createServer(first)
    await t.test('it takes name, keys and user data from LUN 1', async (t) => {
      await start(t, first)
      await proveSeedRead(t, first)
    })
    await t.test('it takes its network from LUN 1', (t) => proveNetwork(t, first))
    await t.test('deployed again it is another system', async (t) =>
      deployAgain(t, first, await identity(first)),
    )
    await t.test('its image as another server shares no identity with it', async (t) => {
      const here = await identity(first)
      await stand.ingot('server', 'stop', first.name)
      await createServer(second)
      await start(t, second)
      const there = await identity(second)
      for (const key of ['machineId', 'hostKeys', 'instanceId', 'initiatorName'] as const) {
        t.ok(here[key].length > 8 && there[key].length > 8, `both have one: ${key}`)
        t.not(there[key], here[key], key)
      }
    })
  },
)
