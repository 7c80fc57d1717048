import { readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { RawClient } from '../rootdisk/nbd/raw-client.js'
import { missing, socketDir } from '../rootdisk/nbd/served.js'
import { Daemons } from './daemons.js'
import { DiskSession } from './disk-session.js'

const SKIP = missing('qemu-io')
const NOTE = SKIP === false ? '' : `: ${SKIP}`
const CHUNK_BYTES = 1 << 20
const NICS = ['52:54:00:fa:01:01', '52:54:00:fa:01:02'] as const

/** The whole seed disk as text, over the NBD connection that a card has. */
async function seedText(card: RawClient): Promise<string> {
  const parts: Buffer[] = []
  for (let at = 0; at < 8 << 20; at += CHUNK_BYTES) parts.push((await card.ask(0, at, CHUNK_BYTES)).data)
  return Buffer.concat(parts).toString('latin1')
}

/** What qemu-io's hexadecimal listing of `read -v` shows as text. */
function shownText(listing: string): string {
  const rows = listing
    .split('\n')
    .map((line) => /^[0-9a-f]+: {2}((?:[0-9a-f]{2} ){16})/.exec(line)?.[1] ?? '')
  return Buffer.from(rows.join('').replaceAll(' ', ''), 'hex').toString('latin1')
}

async function done(t: Test, daemons: Daemons, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await daemons.ingot(...args)
  t.same([code, stderr], [0, ''], args.join(' '))
  return stdout
}

void t.test(
  `a server is changed under a live session, and deployed again, by two workers${NOTE}`,
  { skip: SKIP },
  async (t) => {
    const nbdSocket = join(socketDir(t), 'nbd.sock')
    const daemons = await Daemons.make(t, { target: `workers = 2\n[nbd]\nsocket = "${nbdSocket}"` })
    await daemons.start()
    const disk = join(daemons.dir, 'disk.raw')
    writeFileSync(disk, 'a disk')
    truncateSync(disk, 1 << 20)
    t.match(await daemons.import('golden', disk), { status: 'SUCCESS' })
    const keyFile = join(daemons.dir, 'key')
    t.match(await done(t, daemons, 'keypair', 'create', 'mine', '--out', keyFile), /SHA256:/)
    t.equal(statSync(keyFile).mode & 0o777, 0o600)
    const network = join(daemons.dir, 'network.json')
    writeFileSync(
      network,
      JSON.stringify({ links: [{ kind: 'nic', id: 'front', mac: NICS[0], ipv4: { kind: 'dhcp' } }] }),
    )
    const password = join(daemons.dir, 'password')
    writeFileSync(password, 'Correct-Horse9\n')
    await done(
      t,
      daemons,
      'machine',
      'add',
      'm1',
      '--nic',
      `${NICS[0]},ip=127.0.0.101`,
      '--nic',
      `${NICS[1]},role=storage`,
    )
    const seed = ['--key', 'mine', '--network', network, '--admin-password-file', password]
    await done(t, daemons, 'server', 'create', 's1', '--image', 'golden', ...seed)

    const card = new RawClient(nbdSocket)
    await card.go('machine/m1/seed', false)
    const first = await seedText(card)
    t.match(first, /"hostname": "s1"/)
    t.match(first, /\$6\$/)
    t.notMatch(first, /Correct-Horse9/)
    t.notMatch(first, new RegExp(NICS[1]), 'the storage NIC is in no document')
    const session = await DiskSession.open(daemons.iscsiPort, daemons.access('s1'), 1)
    const at = Math.floor(first.indexOf('"hostname": "s1"') / 512) * 512
    const sector = async (): Promise<string> => shownText(await session.run(`read -v ${at} 1024`))
    t.match(await sector(), /"hostname": "s1"/)

    await done(t, daemons, 'server', 'set', 's1', '--name', 's2')
    t.match(await seedText(card), /"hostname": "s2"/, 'over NBD')
    t.match(await sector(), /"hostname": "s2"/, 'over iSCSI, in the session that was there')
    const before = (await daemons.api('GET', '/servers/s2')).body as Record<string, unknown>
    const layers = readdirSync(daemons.layersDir)
    await done(t, daemons, 'server', 'redeploy', 's2')
    const after = (await daemons.api('GET', '/servers/s2')).body as Record<string, unknown>
    t.match(after, {
      id: before['id'],
      name: 's2',
      keys: ['mine'],
      network: before['network'],
      has_admin_password: true,
    })
    t.not(after['instance_id'], before['instance_id'])
    t.equal(readdirSync(daemons.layersDir).filter((id) => layers.includes(id)).length, layers.length - 1)
    await session.close()
    const again = await DiskSession.open(daemons.iscsiPort, daemons.access('s2'), 1)
    t.equal(shownText(await again.run('read -v 0 8192')).length, 8192)
    await again.close()
  },
)
