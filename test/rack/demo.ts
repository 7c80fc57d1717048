import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { ImageVerdict, ServerView, TimelineView } from '../../src/operator/api/schema.js'
import { buildImage } from '../../src/rootdisk/image/build.js'
import { CACHE_DIR, Stand, type StandMachine } from './stand.js'

const USER_DATA = `#cloud-config
write_files:
  - path: /etc/ingot-demo
    content: user data ran
`

const { values } = parseArgs({
  options: {
    uefi: { type: 'boolean', default: false },
    'native-pxe': { type: 'boolean', default: false },
    'secure-boot': { type: 'boolean', default: false },
    inic: { type: 'string', default: 'nic' },
    servers: { type: 'string', default: '2' },
    keep: { type: 'boolean', default: false },
  },
})
const FIRMWARE = { 'secure-boot': 'uefi-secure', 'native-pxe': 'uefi-native', uefi: 'uefi' } as const
const inic = values.inic === 'card' ? 'card' : 'nic'
const beganMs = performance.now()

/** What a guest says of itself. */
interface Proof {
  readonly machineId: string
  readonly hostKey: string
}

function say(text: string): void {
  const seconds = ((performance.now() - beganMs) / 1000).toFixed(0).padStart(4)
  process.stdout.write(`[${seconds} s] ${text}\n`)
}

function check(what: string, holds: boolean, seen: string): void {
  say(`  ${holds ? 'ok  ' : 'FAIL'} ${what}: ${seen}`)
  if (!holds) throw new Error(`${what}: ${seen}`)
}

async function prove(stand: Stand, server: string, machine: StandMachine): Promise<Proof> {
  const answer = await stand.ssh(
    machine.ip,
    `echo "disk=$(lsblk -S -n -o HCTL,TRAN,VENDOR | grep ':0 ' | tr -s ' ')"
     echo "root=$(lsblk -n -s -o NAME,TRAN $(findmnt -no SOURCE /) | tr -s '\\n ' ' ')"
     echo "hostname=$(hostname)"
     echo "userdata=$(cat /etc/ingot-demo)"
     echo "cloudinit=$(cloud-init status)"
     echo "machineid=$(cat /etc/machine-id)"
     echo "hostkey=$(ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)"`,
  )
  const facts = new Map(
    answer.split('\n').map((line) => [line.split('=')[0] ?? '', line.slice(line.indexOf('=') + 1)]),
  )
  const fact = (name: string): string => facts.get(name) ?? ''
  say(`${server}: logged in over ssh with the key from the seed`)
  if (inic === 'card') {
    check('no iSCSI disk is seen', fact('disk') === '', fact('disk'))
    check("root file system is on the card's virtio disk", /^vda\d .*vda\b/.test(fact('root')), fact('root'))
  } else {
    check('system disk is LUN 0 over iSCSI', fact('disk').includes(':0 iscsi '), fact('disk'))
    check('root file system is on it', fact('root').includes('iscsi'), fact('root'))
  }
  check('host name', fact('hostname') === server, fact('hostname'))
  check('user data ran', fact('userdata') === 'user data ran', fact('userdata'))
  check('cloud-init is done', fact('cloudinit').includes('done'), fact('cloudinit'))
  return { machineId: fact('machineid'), hostKey: fact('hostkey') }
}

async function showTimeline(stand: Stand, server: string): Promise<void> {
  const { stdout } = await stand.ingot('server', 'events', server)
  process.stdout.write(stdout)
}

async function run(stand: Stand): Promise<void> {
  await stand.startDaemon()
  say('daemons are up; importing the image')
  await stand.ingotAloud('image', 'build', 'debian-12')
  await stand.enrol()
  const userData = join(stand.dir, 'user-data')
  await writeFile(userData, USER_DATA)
  const servers = stand.machines.map((machine, i) => ({ name: `web${i + 1}`, machine }))
  for (const { name, machine } of servers) {
    const key = join(stand.dir, 'key.pub')
    const argv = [
      '--image',
      'debian-12',
      '--machine',
      machine.name,
      '--ssh-key',
      key,
      '--user-data',
      userData,
    ]
    const created = await stand.ingotJson<ServerView>('server', 'create', name, ...argv)
    check(`clone for ${name} made in under 50 ms`, created.clone_ms < 50, `${created.clone_ms} ms`)
  }
  say('powering the machines on')
  await Promise.all(
    servers.map(({ name }) => stand.ingotAloud('server', 'start', name, '--wait', '--timeout', '600')),
  )
  const proofs: Proof[] = []
  for (const { name, machine } of servers) proofs.push(await prove(stand, name, machine))
  check(
    'machine-ids differ',
    new Set(proofs.map((proof) => proof.machineId)).size === proofs.length,
    proofs.map((p) => p.machineId).join(' '),
  )
  check(
    'host keys differ',
    new Set(proofs.map((proof) => proof.hostKey)).size === proofs.length,
    proofs.map((p) => p.hostKey).join(' '),
  )
  await rebootFirst(stand, servers[0])
  await showCost(stand)
  await showTimeline(stand, servers[0]?.name ?? '')
}

async function rebootFirst(
  stand: Stand,
  first: { name: string; machine: StandMachine } | undefined,
): Promise<void> {
  if (first === undefined) return
  const { name, machine } = first
  const bootId = await stand.ssh(
    machine.ip,
    'date > /root/persisted; sync; cat /proc/sys/kernel/random/boot_id',
  )
  say(`rebooting ${name}`)
  await stand.ingotAloud('server', 'reboot', name, '--wait', '--timeout', '600')
  const newBootId = await stand.ssh(machine.ip, 'cat /proc/sys/kernel/random/boot_id', 30_000)
  check('it is a new boot', newBootId !== bootId, newBootId.trim())
  const persisted = await stand.ssh(machine.ip, 'cat /root/persisted')
  check('data written before the reboot is there', persisted.trim() !== '', persisted.trim())
  const timeline = await stand.ingotJson<TimelineView>('server', 'timeline', name)
  check(
    'the reboot has a timeline of its own',
    timeline.steps.some((step) => step.stage === (inic === 'card' ? 'ready' : 'script') && step.at !== null),
    String(timeline.boot_id),
  )
}

async function showCost(stand: Stand): Promise<void> {
  const verified = await stand.ingotJson<ImageVerdict>('image', 'verify', 'debian-12')
  check('the golden layer is unchanged', verified.matches, String(verified.sha256))
  for (const server of await stand.ingotJson<ServerView[]>('server', 'list')) {
    const mib = (server.volume_allocated_bytes / 2 ** 20).toFixed(1)
    const of = (server.volume_size_bytes / 2 ** 30).toFixed(1)
    say(
      `  ${server.name} holds ${mib} MiB of its own of a ${of} GiB disk; its clone took ${server.clone_ms} ms`,
    )
  }
}

say('building the image debian-12, or finding it in the cache')
// Packages come over the network, which the rig's namespace has not: the daemon in it finds the result.
await buildImage('debian-12', { cacheDir: CACHE_DIR, onProgress: (stage) => say(`  ${stage}`) })
const asked = (['secure-boot', 'native-pxe', 'uefi'] as const).find((name) => values[name])
const firmware = asked === undefined ? 'bios' : FIRMWARE[asked]
say(`a rig of ${values.servers} machines, firmware ${firmware}, iNIC ${inic}`)
const stand = await Stand.make(
  `demo${process.pid}`,
  Array.from({ length: Number(values.servers) }, () => ({ firmware, inic })),
)
try {
  await run(stand)
  say('done: every check passed')
} catch (err) {
  process.exitCode = 1
  say(`FAILED: ${err instanceof Error ? err.message : String(err)}`)
  say(`kept for a look: ${stand.dir}`)
} finally {
  if (values.keep && process.exitCode === undefined)
    say(`kept running: ${stand.dir} (end it with: ingot rig down --dir ${stand.rigDir})`)
  else await stand.tearDown(process.exitCode !== undefined)
}
