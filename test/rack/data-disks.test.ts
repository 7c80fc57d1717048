import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { ServerView, VolumeView } from '../../src/operator/api/schema.js'
import { buildImage } from '../../src/rootdisk/image/build.js'
import {
  create,
  diskErrors,
  inGuest,
  kill,
  proveWritable,
  reasonForNoLongTest,
  start,
  startWriting,
  stopWriting,
  untilMoreSynced,
  verify,
  type Guest,
  type Writes,
} from './guest.js'
import { ADDRESS, CACHE_DIR, DIST, Stand, until } from './stand.js'

// What Debian's own tools do with data volumes: the kernel's SCSI disks, open-iscsi, multipath-tools, sg3-utils and
// nbd-client. One boot for all.
const LIMIT_MS = 1_800_000
const MIB = 1 << 20
const RECIPE = 'debian-12-storage'
const LUN = 2
const PORT = 3260
const SECOND_PORT = 3261
const NBD_PORT = 10_809
const NBD_NAME = 'ingot'
/** After that long the guest gives a session up and takes another path. */
const PATH_PATIENCE_SECONDS = 5

const reason = reasonForNoLongTest()
const note = reason === undefined ? '' : ` (skipped: ${reason})`

t.setTimeout(LIMIT_MS)

function showVolume({ stand }: Guest): Promise<VolumeView> {
  return stand.ingotJson<VolumeView>('volume', 'show', 'data')
}

/** Names of the guest's kernel for its paths to the data volume. */
async function disks(guest: Guest): Promise<readonly string[]> {
  const text = await inGuest(guest, `lsblk -nS -o HCTL,NAME | awk '$1 ~ /:${LUN}$/ { print $2 }'`)
  return text === '' ? [] : text.split('\n')
}

async function onlyDisk(guest: Guest): Promise<string> {
  const [disk, ...others] = await disks(guest)
  if (disk === undefined || others.length > 0) throw new Error(`not one disk: ${String([disk, ...others])}`)
  return disk
}

function rescan(guest: Guest): Promise<string> {
  return inGuest(guest, 'iscsiadm -m session --rescan >/dev/null; udevadm settle')
}

async function hotAdd(t: Test, guest: Guest): Promise<void> {
  const { stand, name } = guest
  await stand.ingot('volume', 'create', 'data', '--size', '256M')
  t.match(await stand.ingotJson<VolumeView>('server', 'attach', name, 'data'), { lun: LUN })
  await inGuest(guest, 'dd if=$(findmnt -no SOURCE /) of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null')
  t.match(
    await inGuest(guest, 'dmesg'),
    /LUN assignments on this target have changed/,
    'its next command was told that the LUNs have changed',
  )
  t.same(await disks(guest), [], 'Debian does not look by itself')
  await rescan(guest)
  const disk = await onlyDisk(guest)
  t.equal(await inGuest(guest, `blockdev --getsize64 /dev/${disk}`), String(256 * MIB), 'its size')
}

async function grow(t: Test, guest: Guest): Promise<void> {
  const disk = await onlyDisk(guest)
  const checksum = `dd if=/dev/${disk} bs=1M count=64 iflag=direct status=none | sha256sum`
  const before = await inGuest(
    guest,
    `dd if=/dev/urandom of=/dev/${disk} bs=1M count=64 oflag=direct status=none; ${checksum}`,
  )
  await guest.stand.ingot('volume', 'grow', 'data', '--size', '512M')
  await inGuest(guest, `echo 1 >/sys/block/${disk}/device/rescan`)
  const size = await inGuest(guest, `blockdev --getsize64 /dev/${disk}`)
  t.equal(size, String(512 * MIB), 'a rescan sees the new size')
  t.match(await inGuest(guest, 'dmesg'), /Capacity data has changed/, 'a command was told of it')
  t.equal(await inGuest(guest, checksum), before, 'what was written is there')
  await inGuest(guest, `dd if=/dev/urandom of=/dev/${disk} bs=1M seek=511 count=1 oflag=direct status=none`)
}

async function discard(t: Test, guest: Guest, disk: string): Promise<void> {
  const before = (await showVolume(guest)).allocated_bytes
  await inGuest(guest, `blkdiscard /dev/${disk}`)
  t.ok(before >= 16 * MIB, `there was something to give back: ${before} bytes`)
  const isGivenBack = async (): Promise<boolean> => (await showVolume(guest)).allocated_bytes <= MIB
  await until('the space was given back', 60_000, isGivenBack) // in the background, after the answer
  const zeros = await inGuest(guest, `cmp -n ${16 * MIB} /dev/${disk} /dev/zero && echo zeros`)
  t.equal(zeros, 'zeros', 'it reads as zeros')
}

async function hotRemove(t: Test, guest: Guest): Promise<void> {
  const { stand, name } = guest
  const disk = await onlyDisk(guest)
  await inGuest(guest, `echo 1 >/sys/block/${disk}/device/delete`)
  await stand.ingot('server', 'detach', name, 'data')
  await rescan(guest)
  t.same(await disks(guest), [], 'a removed LUN does not come back')
  await stand.ingot('server', 'attach', name, 'data')
  await rescan(guest)
  const again = await onlyDisk(guest)
  await stand.ingot('server', 'detach', name, 'data')
  await t.rejects(
    inGuest(guest, `timeout 30 dd if=/dev/${again} of=/dev/null bs=4096 count=1 iflag=direct`),
    /Input\/output error|No such device|cannot be opened|failed to open/i,
    'a LUN that is taken from under the guest fails, and does not hang',
  )
  await inGuest(guest, `echo 1 >/sys/block/${again}/device/delete; sync; touch /root/still-here; sync`)
  await stand.ingot('server', 'attach', name, 'data')
  await rescan(guest)
  t.ok(await onlyDisk(guest), 'it is there again')
}

/** Another way to the same target, through a process that can be ended. */
class SecondPortal {
  readonly #stand: Stand
  #child: ChildProcess | undefined

  constructor(stand: Stand) {
    this.#stand = stand
  }

  async open(): Promise<void> {
    const program = join(DIST, '../test/rack/second-portal.js')
    const argv = [process.execPath, program, ADDRESS, String(SECOND_PORT), String(PORT)]
    const child = spawn('ip', ['netns', 'exec', `ingot-${this.#stand.name}`, ...argv], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#child = child
    await once(child.stdout, 'data')
  }

  async cut(): Promise<void> {
    const child = this.#child
    if (child?.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
}

/** Logs in a second time, with another ISID, as the firmware did the first time. @returns the new path's name */
async function loginAgain(guest: Guest, first: string): Promise<string> {
  const { iqn } = await guest.stand.ingotJson<ServerView>('server', 'show', guest.name)
  await inGuest(
    guest,
    `ibft=/sys/firmware/ibft
     node="iscsiadm -m node -T ${iqn} -p ${ADDRESS}:${SECOND_PORT},1 -I second"
     iscsiadm -m iface -I second -o new
     iscsiadm -m iface -I second -o update -n iface.initiatorname -v $(cat $ibft/initiator/initiator-name)
     $node -o new
     $node -o update -n node.session.auth.authmethod -v CHAP
     $node -o update -n node.session.auth.username -v $(cat $ibft/target0/chap-name)
     $node -o update -n node.session.auth.password -v $(cat $ibft/target0/chap-secret)
     $node --login
     udevadm settle
     for connection in /sys/class/iscsi_connection/*; do
       [ $(cat $connection/persistent_port) = ${SECOND_PORT} ] || continue
       session=session$(basename $connection | tr -dc '0-9:' | cut -d: -f1)
       echo ${PATH_PATIENCE_SECONDS} >/sys/class/iscsi_session/$session/recovery_tmo
     done`,
  )
  const [second] = (await disks(guest)).filter((disk) => disk !== first)
  if (second === undefined) throw new Error('the second session shows no second disk')
  return second
}

/** How many paths the kernel uses for the multipath disk (Documentation/admin-guide/device-mapper: A or F each). */
function goodPaths(guest: Guest): Promise<string> {
  return inGuest(guest, `dmsetup status data | grep -oE ' [0-9]+:[0-9]+ A ' | wc -l`)
}

async function failOver(t: Test, guest: Guest, portal: SecondPortal, first: string): Promise<void> {
  const writes: Writes = { name: 'paths', folder: '/mnt/data/writes' }
  // The session of the root disk is a path too: multipathd must leave it as patient as it is.
  await inGuest(
    guest,
    `wwid=$(udevadm info -q property --property ID_SERIAL --value -n /dev/${first})
     cat >/etc/multipath.conf <<CONF
defaults {
  find_multipaths strict
  path_grouping_policy multibus
  polling_interval 2
  fast_io_fail_tmo off
}
multipaths {
  multipath {
    wwid "$wwid"
    alias data
  }
}
CONF
     systemctl restart multipathd
     multipath -a /dev/${first} >/dev/null
     multipath >/dev/null
     udevadm settle`,
  )
  t.equal(await goodPaths(guest), '2', 'one multipath disk with two paths')
  await inGuest(guest, 'mkfs.ext4 -q /dev/mapper/data; mkdir -p /mnt/data; mount /dev/mapper/data /mnt/data')
  await startWriting(guest, writes)
  await untilMoreSynced(guest, 5, [writes])
  await portal.cut()
  await t.resolves(untilMoreSynced(guest, 20, [writes]), 'it goes on over the path that is left')
  await until('the path is seen to be gone', 60_000, async () => (await goodPaths(guest)) === '1')
  await portal.open()
  await until('the path is back', 120_000, async () => (await goodPaths(guest)) === '2')
  await untilMoreSynced(guest, 20, [writes])
  const { files, pauses } = await stopWriting(guest, writes)
  t.comment(`${files} files; the longest time between two: ${(pauses[0] ?? NaN).toFixed(2)} s`)
  await verify(t, guest, files, writes)
  await proveWritable(t, guest, '/', '/mnt/data')
  await inGuest(
    guest,
    `umount /mnt/data
     systemctl stop multipathd.socket multipathd
     multipath -f data
     multipath -w /dev/${first} >/dev/null`,
  )
}

async function reserve(t: Test, guest: Guest, first: string, second: string): Promise<void> {
  const persist = (disk: string, how: string): Promise<string> =>
    inGuest(guest, `sg_persist ${how} /dev/${disk}`)
  const reads = (disk: string): Promise<string> =>
    inGuest(
      guest,
      `dd if=/dev/${disk} of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null && echo yes || echo no`,
    )
  await persist(first, '--out --register --param-aptpl --param-sark=0xa1')
  await persist(second, '--out --register --param-aptpl --param-sark=0xb2')
  const keys = await persist(first, '--in --read-keys')
  t.ok(keys.includes('0xa1') && keys.includes('0xb2'), 'both sessions are registered')
  await persist(first, '--out --reserve --param-rk=0xa1 --prout-type=3')
  t.equal(await reads(first), 'yes', 'the holder reads')
  t.equal(await reads(second), 'no', 'the other does not')
  await t.rejects(persist(second, '--out --reserve --param-rk=0xb2 --prout-type=3'), /conflict/i)

  await kill(await guest.stand.targetPid())
  await until('the holder reads again', 60_000, async () => (await reads(first)) === 'yes')
  t.match(await persist(first, '--in --read-reservation'), /0xa1/, 'the reservation outlived its target')
  await until('the other session is back', 60_000, async () =>
    (await persist(second, '--in --read-keys')).includes('0xb2'),
  )
  t.equal(await reads(second), 'no', 'and it holds')

  await persist(second, '--out --preempt --param-rk=0xb2 --param-sark=0xa1 --prout-type=3')
  t.notMatch(await persist(second, '--in --read-keys'), /0xa1/, 'the preempted key is gone')
  t.equal(await reads(second), 'yes', 'the second session took it over')
  t.equal(await reads(first), 'no', 'the first has lost it')
  await persist(second, '--out --clear --param-rk=0xb2')
  t.equal(await reads(first), 'yes', 'cleared')
}

/** A CA, and a certificate each for the NBD server and its client, in the stand's directory. */
function makeCertificates({ dir }: Stand): void {
  for (const who of ['ca', 'server', 'client']) {
    const files = [
      '-keyout',
      `${who}-key.pem`,
      '-out',
      `${who}-cert.pem`,
      '-days',
      '2',
      '-subj',
      `/CN=${who}`,
    ]
    const issuer = who === 'ca' ? [] : ['-CA', 'ca-cert.pem', '-CAkey', 'ca-key.pem']
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    const names = ['-addext', `subjectAltName=DNS:${NBD_NAME},IP:${ADDRESS}`]
    const { status, stderr } = spawnSync('openssl', ['req', '-x509', ...key, ...files, ...names, ...issuer], {
      cwd: dir,
      encoding: 'utf8',
      timeout: 20_000,
    })
    if (status !== 0) throw new Error(stderr)
  }
}

function nbdSection({ dir }: Stand): string {
  return [
    '[nbd]',
    `address = "${ADDRESS}"`,
    `port = ${NBD_PORT}`,
    `tls_certificate_file = "${join(dir, 'server-cert.pem')}"`,
    `tls_key_file = "${join(dir, 'server-key.pem')}"`,
    `tls_client_ca_file = "${join(dir, 'ca-cert.pem')}"`,
  ].join('\n')
}

async function useNbd(t: Test, guest: Guest, disk: string): Promise<void> {
  const { id } = await showVolume(guest)
  const place = `${ADDRESS} ${NBD_PORT} /dev/nbd0 -N ${id}`
  for (const file of ['ca-cert.pem', 'client-cert.pem', 'client-key.pem']) {
    const text = await readFile(join(guest.stand.dir, file), 'utf8')
    await inGuest(guest, `mkdir -p /run/nbd; cat >/run/nbd/${file} <<'PEM'\n${text}PEM`)
  }
  await inGuest(guest, 'modprobe nbd')
  await t.rejects(
    inGuest(
      guest,
      `timeout 30 nbd-client ${place} </dev/null >/run/nbd/log 2>&1 || { cat /run/nbd/log >&2; exit 1; }`,
    ),
    'in clear nobody is served',
  )
  await inGuest(
    guest,
    `cd /run/nbd
     systemd-run --quiet --unit=ingot-nbd -p RemainAfterExit=yes -p WorkingDirectory=/run/nbd nbd-client ${place} \
       -cacertfile ca-cert.pem -certfile client-cert.pem -keyfile client-key.pem -tlshostname ${NBD_NAME}
     for i in $(seq 100); do [ $(cat /sys/block/nbd0/size) -gt 0 ] && break; sleep 0.2; done
     [ $(cat /sys/block/nbd0/size) -gt 0 ] || { journalctl -n 20 -u ingot-nbd >&2; exit 1; }`,
  )
  t.equal(await inGuest(guest, 'blockdev --getsize64 /dev/nbd0'), String(512 * MIB), 'its size')
  const sums = await inGuest(
    guest,
    `dd if=/dev/urandom of=/run/random bs=1M count=16 status=none
     sha256sum </run/random
     dd if=/run/random of=/dev/nbd0 bs=1M oflag=direct conv=fsync status=none
     dd if=/dev/${disk} bs=1M count=16 iflag=direct status=none | sha256sum`,
  )
  const [written, read] = sums.split('\n')
  t.equal(read, written, 'what was written over NBD is read over iSCSI')
  await discard(t, guest, 'nbd0')
  const writes: Writes = { name: 'nbd', folder: '/mnt/nbd/writes' }
  await inGuest(guest, 'mkfs.ext4 -q /dev/nbd0; mkdir /mnt/nbd; mount /dev/nbd0 /mnt/nbd')
  await startWriting(guest, writes)
  await untilMoreSynced(guest, 20, [writes])
  const { files } = await stopWriting(guest, writes)
  await verify(t, guest, files, writes)
  await inGuest(guest, 'umount /mnt/nbd; nbd-client -d /dev/nbd0')
}

void t.test(`a guest's own tools on its data disks${note}`, { skip: reason !== undefined }, async (t) => {
  t.setTimeout(LIMIT_MS)
  // packages come over the network, which the namespace has not: the daemon in it finds the result
  await buildImage(RECIPE, { cacheDir: CACHE_DIR })
  const stand = await Stand.make(`data${process.pid}`, [{ firmware: 'bios' }])
  t.teardown(() => stand.tearDown(!t.passing()))
  const [machine] = stand.machines
  if (machine === undefined) throw new Error('no machine')
  const guest = { stand, name: 'web1', machine }
  makeCertificates(stand)
  await stand.configure({ more: nbdSection(stand) })
  await stand.startDaemon()
  await create(t, guest, RECIPE)
  await t.test('it starts', (t) => start(t, guest))

  await t.test('a disk comes while it runs', (t) => hotAdd(t, guest))
  await t.test('it grows', (t) => grow(t, guest))
  await t.test('blkdiscard gives its space back', async (t) => discard(t, guest, await onlyDisk(guest)))
  t.same(await diskErrors(guest), [], 'its kernel saw no I/O error')
  await t.test('it goes and comes again', (t) => hotRemove(t, guest))

  const portal = new SecondPortal(stand)
  t.teardown(() => portal.cut())
  await portal.open()
  const first = await onlyDisk(guest)
  const second = await loginAgain(guest, first)
  await t.test('two sessions are two paths of one disk', (t) => failOver(t, guest, portal, first))
  await t.test('two sessions are two initiators to reservations', (t) => reserve(t, guest, first, second))
  await t.test('the kernel uses it over NBD with TLS', (t) => useNbd(t, guest, first))
  await proveWritable(t, guest, '/')
})
