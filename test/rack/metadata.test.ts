import { existsSync } from 'node:fs'
import t, { type Test } from 'tap'
import { renderSeed } from '../../src/firstboot/seed/seed.js'
import { MESSAGE } from '../../src/netboot/dhcp/codec.js'
import { dhcpDatagram } from '../fakes/dhcp-request.js'
import { SMALL_SEED } from '../firstboot/seed/sample-seed.js'
import { cloudInitCode } from './cloud-init-oracle.js'
import { readAll, type Source, type Understood } from './datasources.js'
import { MetadataStand, type Got, type StandServer } from './metadata-stand.js'

const MAC = {
  alice: '52:54:00:00:0a:01',
  bob: '52:54:00:00:0b:01',
  carol: '52:54:00:00:0c:01',
  dan: '52:54:00:00:0d:01',
  erin: '52:54:00:00:0e:01',
  frank: '52:54:00:00:0f:01',
  mallory: '02:00:00:00:66:01',
} as const
const ALICE_IP = '198.18.0.11'
const CAROL_IP = '198.18.0.13'
const DAN_IP = '198.18.2.50'
const ERIN_IP = '198.18.0.105'
const FRANK_IP = '198.18.0.106'

const SERVERS: readonly StandServer[] = [
  { name: 'alice', mac: MAC.alice, ip: ALICE_IP },
  { name: 'bob', mac: MAC.bob },
  { name: 'carol', mac: MAC.carol, ip: CAROL_IP, server: { addressing: 'static' } },
  { name: 'dan', mac: MAC.dan, ip: DAN_IP },
  { name: 'erin', mac: MAC.erin },
  { name: 'frank', mac: MAC.frank },
]

const TOOLS = ['/usr/sbin/ip', '/usr/sbin/dhclient', '/usr/bin/curl', '/usr/bin/python3', '/usr/bin/unshare']

function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root for network namespaces'
  const absent = TOOLS.find((tool) => !existsSync(tool))
  return absent === undefined ? undefined : `needs ${absent}`
}

const INSTANCE = '/latest/meta-data/instance-id'
const PATHS = [
  ...['/', '/openstack', '/openstack/latest/meta_data.json', '/openstack/latest/user_data'],
  ...['/openstack/2018-08-27/network_data.json', '/openstack/latest/password', '/latest/user-data'],
  ...[INSTANCE, '/latest/meta-data/public-keys/0/openssh-key', '/nocloud/meta-data', '/nocloud/user-data'],
]

/** Someone asks as somebody else. */
interface Spoof {
  readonly who: string
  /** Where the requests come from. */
  readonly client: string
  readonly curl?: readonly string[]
  /** What the one event must name. */
  readonly ip: string
  readonly mac?: string
  readonly reason: RegExp
}

async function refuses(t: Test, stand: MetadataStand, spoof: Spoof): Promise<void> {
  await t.test(`${spoof.who} is served nothing, and it is one event in ten seconds`, async (t) => {
    const before = stand.events('metadata.').length
    const most = mostEvents()
    for (const path of PATHS) {
      const { status, text } = await stand.ask(spoof.client, path, ...(spoof.curl ?? []))
      t.equal(status, 404, path)
      t.equal(text, '{"error":{"code":"NOT_FOUND","message":"no such path"}}')
    }
    const events = stand.events('metadata.').slice(before)
    const told = { kind: 'metadata.refused', ip: spoof.ip, mac: spoof.mac, message: spoof.reason }
    t.match(
      events,
      events.map(() => told),
    )
    t.ok(events.length >= 1 && events.length <= most(), `${events.length} events of ${PATHS.length} requests`)
  })
}

/** How many events of a kind an address may have caused since then: one in each ten seconds that are begun. */
function mostEvents(): () => number {
  const since = performance.now()
  return () => 2 + Math.floor((performance.now() - since) / 10_000)
}

/** Has a client take an address; the daemon's kernel forgets who had it, and the client whom it knows. */
async function take(stand: MetadataStand, client: string, ip: string): Promise<void> {
  await stand.script('server', [`ip neighbour flush to ${ip}`])
  await stand.script(client, [
    `ip address add ${ip}/24 dev eth0`,
    'ip route replace 169.254.169.254 via 198.18.0.1',
    'ip neighbour flush dev eth0',
  ])
}

const reason = missing()
const name = 'a server gets its own metadata, and nobody gets another’s'
const title = reason === undefined ? name : `${name} (skipped: ${reason})`
void t.test(title, { skip: reason ?? false }, async (t) => {
  const stand = await MetadataStand.make(t)
  const hourMs = 3_600_000
  await stand.startDaemon(SERVERS, [
    { ip: DAN_IP, mac: MAC.dan, clientId: undefined, expiresMs: Date.now() + hourMs },
    { ip: ERIN_IP, mac: MAC.erin, clientId: undefined, expiresMs: Date.now() - hourMs },
    { ip: FRANK_IP, mac: MAC.frank, clientId: undefined, expiresMs: Date.now() + hourMs },
  ])
  for (const client of ['alice', 'bob', 'carol', 'erin', 'mallory'] as const) {
    await stand.client(client, MAC[client])
  }
  await stand.far('dan', MAC.dan, DAN_IP)
  t.equal(await stand.lease('alice'), ALICE_IP)
  const bobIp = await stand.lease('bob')
  await take(stand, 'carol', CAROL_IP)

  await t.test('the route to the metadata address comes with the lease', async (t) => {
    const route = await stand.run('bob', 'ip', 'route', 'get', '169.254.169.254')
    t.match(route, /via 198\.18\.0\.1 /)
    t.match(
      await stand.run('bob', 'ip', 'route'),
      /^default via 198\.18\.0\.254 /,
      'as does the default route',
    )
  })

  await t.test('by lease, by static address and behind a router each reads what is its own', async (t) => {
    const servers = ['alice', 'bob', 'carol', 'dan']
    for (const server of servers) {
      t.same(await stand.ask(server, INSTANCE), { status: 200, text: `instance-${server}` })
      t.match((await stand.ask(server, '/nocloud/user-data')).text, `# the data of ${server}\n`)
      const { text } = await stand.ask(server, '/openstack/latest/meta_data.json')
      t.match(JSON.parse(text), { uuid: `instance-${server}`, name: server, availability_zone: 'az-1' })
      for (const other of SERVERS.filter(({ name }) => name !== server)) t.notMatch(text, `-${other.name}`)
    }
    const reads = stand.events('metadata.')
    t.same(
      reads.map(({ kind, serverId }) => `${kind} ${serverId ?? ''}`),
      servers.map((server) => `metadata.read server-${server}`),
    )
  })

  await t.test('the bytes are those of the seed disk', async (t) => {
    const listed = (await stand.ask('alice', '/openstack/latest')).text.split('\n')
    const written = renderSeed({ ...SMALL_SEED, userData: Buffer.from('#!') }).configDrive
    const names = written.filter(({ path }) => path.startsWith('openstack/latest/'))
    t.same(
      listed.filter((one) => one !== 'password').sort(),
      names.map(({ path }) => path.split('/')[2]).sort(),
    )
  })

  await t.test('a new name is told at once, to its server alone', async (t) => {
    await stand.api('PATCH', '/servers/carol', { name: 'caroline' })
    t.equal((await stand.ask('carol', '/latest/meta-data/hostname')).text, 'caroline')
    t.equal((await stand.ask('alice', '/latest/meta-data/hostname')).text, 'alice')
  })

  await t.test('a password is sealed once, as Cloudbase-Init does it', async (t) => {
    const path = '/openstack/2013-04-04/password'
    const post = (sealed: string): Promise<Got> => stand.ask('alice', path, '--data', sealed)
    t.same(await stand.ask('alice', path), { status: 200, text: '' })
    t.equal((await post('not base64')).status, 400)
    t.equal((await post('c2VhbGVk')).status, 200)
    t.equal((await post('b3RoZXI=')).status, 409)
    t.same(await stand.ask('alice', path), { status: 200, text: 'c2VhbGVk' })
    t.same(await stand.ask('dan', path), { status: 200, text: '' })
    t.match(stand.events('server.password-sealed'), [{ serverId: 'server-alice' }])
  })

  await refuses(t, stand, {
    ...{ who: 'a server that forwards a request', client: 'alice', ip: ALICE_IP },
    ...{ curl: ['-H', 'X-Forwarded-For: 198.18.0.77'], reason: /forwarded \(header x-forwarded-for\)$/ },
  })
  await refuses(t, stand, {
    ...{ who: 'a browser on a server, rebound by a page,', client: 'carol', ip: CAROL_IP },
    ...{ curl: ['-H', 'Host: attacker.example'], reason: /the Host header names another host$/ },
  })
  await take(stand, 'alice', '198.18.0.77')
  await refuses(t, stand, {
    ...{ who: 'a server with another address of its segment', client: 'alice', ip: '198.18.0.77' },
    ...{ curl: ['--interface', '198.18.0.77'], mac: MAC.alice, reason: /no lease is for this address$/ },
  })
  await take(stand, 'mallory', FRANK_IP)
  await refuses(t, stand, {
    ...{ who: 'another MAC with the address of a server', client: 'mallory', ip: FRANK_IP, mac: MAC.mallory },
    ...{ reason: /no server has this NIC$/ },
  })
  await stand.run('mallory', 'ip', 'address', 'flush', 'dev', 'eth0')
  const malloryIp = await stand.lease('mallory')
  await refuses(t, stand, {
    ...{ who: 'a stranger with a lease', client: 'mallory', ip: malloryIp, mac: MAC.mallory },
    ...{ reason: /no server has this NIC$/ },
  })
  await take(stand, 'erin', ERIN_IP)
  await refuses(t, stand, {
    ...{ who: 'a server whose lease is over', client: 'erin', ip: ERIN_IP, mac: MAC.erin },
    ...{ reason: /its lease is over$/ },
  })
  await stand.run('bob', 'ip', 'link', 'set', 'eth0', 'down')
  await take(stand, 'alice', bobIp)
  await refuses(t, stand, {
    ...{ who: 'a server with the address of another', client: 'alice', ip: bobIp, mac: MAC.alice },
    ...{ curl: ['--interface', bobIp], reason: new RegExp(`leased to ${MAC.bob}$`) },
  })
  await stand.script('alice', [`ip address del ${bobIp}/24 dev eth0`])
  await stand.script('bob', ['ip link set eth0 up', 'ip route replace 169.254.169.254 via 198.18.0.1'])

  await t.test(
    'a boot URL that was stolen serves nothing once its boot is over, and is one event in ten seconds',
    async (t) => {
      const most = mostEvents()
      const url = (what: string): string => `http://198.18.0.1:8080/boot/token-alice/${what}`
      t.match(await stand.ask('alice', url('script')), { status: 200, text: /^#!ipxe/ })
      const options = { vendorClass: 'PXEClient:Arch:00007:UNDI:003016', clientArch: [7] }
      const firmware = dhcpDatagram(MESSAGE.DISCOVER, options, { mac: MAC.alice }).toString('hex')
      const ask = new URL('udp-ask.py', import.meta.url).pathname
      await stand.run('alice', 'python3', ask, 'eth0', '68', '255.255.255.255', '67', firmware, '1')
      for (const what of ['script', 'loaders/snponly.efi', 'failed?step=x', 'grub.cfg', 'ready']) {
        t.match(await stand.ask('mallory', url(what)), { status: 404, text: /^\{"error"/ }, what)
      }
      const events = stand.events('boot.unknown-token')
      t.match(
        events,
        events.map(() => ({ ip: malloryIp, serverId: undefined })),
      )
      t.ok(events.length >= 1 && events.length <= most(), `${events.length} events of 5 requests`)
      t.equal(stand.events('boot.script-failed').length, 0)
    },
  )

  const { skip, note } = cloudInitCode
  await t.test(`cloud-init reads over HTTP what went in${note}`, { skip }, async (t) => {
    const all: Source[] = ['OpenStack', 'Ec2', 'Ec2-with-tokens', 'NoCloud-local', 'NoCloud-net']
    const [openStack, ec2, withTokens, ...noClouds] = await understood(t, stand, 'alice', all)
    t.match(openStack, { source: 'DataSourceOpenStack', launchIndex: 0 })
    t.match(openStack?.network, { config: [{ mac_address: MAC.alice, subnets: [{ type: 'dhcp4' }] }] })
    t.not(openStack?.randomSeed, '')
    t.match(ec2, { source: 'DataSourceEc2', launchIndex: '0', hasToken: false })
    t.match(ec2?.network, { ethernets: { eth0: { dhcp4: true, match: { macaddress: MAC.alice } } } })
    t.match(withTokens, { source: 'DataSourceEc2', hasToken: true })
    t.same(
      noClouds.map(({ source }) => source),
      ['DataSourceNoCloudNet', 'DataSourceNoCloudNet'],
    )
    for (const said of [openStack, ...noClouds]) t.match(text(said?.vendorData), 'phone_home')
    await understood(t, stand, 'bob', ['OpenStack'])
  })
})

/** What cloud-init's sources make of a server's metadata, all of which must be its own. */
async function understood(
  t: Test,
  stand: MetadataStand,
  server: string,
  sources: readonly Source[],
): Promise<Understood[]> {
  // cloud-init asks DNS for names that cannot be, and would wait for a gateway that is not there
  await stand.run(server, 'ip', 'route', 'flush', 'exact', 'default')
  const user = Buffer.from(`#cloud-config\n# the data of ${server}\n`).toString('base64')
  const read = await readAll(t.testdir(), sources, stand.inside(server))
  t.equal(read.length, sources.length)
  for (const said of read) {
    t.match(said, {
      ...{ instanceId: `instance-${server}`, hostname: server, availabilityZone: 'az-1', userData: user },
      sshKeys: [new RegExp(` ${server}$`)],
    })
  }
  return read
}

function text(base64 = ''): string {
  return Buffer.from(base64, 'base64').toString()
}
