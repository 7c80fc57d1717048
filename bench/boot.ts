// Power-on to the first SCSI READ of a SeaBIOS guest with QEMU's iPXE ROM: our daemons, and dnsmasq with tgtd as their
// users set them up, by turns on one machine. Both are timed by the same tcpdump on the bridge. Prints each round and,
// last, the ratio of the medians as one JSON object.
import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Tgtd } from '../test/fakes/tgtd.js'
import { createServers, PROOF } from '../test/rack/firmware-guests.js'
import { press } from '../test/rack/power-button.js'
import { makeProofDisk } from '../test/rack/proof-disk.js'
import { ADDRESS, Stand, type StandMachine } from '../test/rack/stand.js'
import { runCommand } from '../src/command.js'
import { median, rounded, runBench } from './contenders.js'

const PORT = 3260
const IQN = 'iqn.2026-01.bench:boot'
const LIMIT_MS = 180_000
const COMMAND = { timeoutMs: 10_000 } as const
/** The first byte of TCP's payload. */
const PDU = '((tcp[12] & 0xf0) >> 2)'
/** A SCSI Command PDU whose CDB is READ (10) or READ (16) (RFC 7143 §11.3, SBC-3 §5.8). */
const FIRST_READ = `tcp dst port ${PORT} and (tcp[${PDU}] & 0x3f = 1) and (tcp[${PDU} + 32] = 0x28 or tcp[${PDU} + 32] = 0x88)`

interface Rack {
  readonly stand: Stand
  readonly machine: StandMachine
  readonly disk: string
}

await runBench(async (scratch) => {
  const rounds = Number(process.argv[3] ?? 3)
  const stand = await Stand.make(`bench${process.pid}`, [{ firmware: 'bios' }])
  try {
    const [machine] = stand.machines
    if (machine === undefined) throw new Error('no machine')
    const rack = { stand, machine, disk: join(scratch, 'proof.raw') }
    await makeProofDisk(rack.disk, PROOF)
    await stand.startDaemon()
    await createServers(stand)
    await stand.stopDaemons()
    const [ours, theirs]: [number[], number[]] = [[], []]
    for (let round = 1; round <= rounds; round++) {
      ours.push(await bootFromUs(rack))
      theirs.push(await bootFromPeers(rack, scratch))
      const times = [ours, theirs].map((all) => `${rounded((all.at(-1) ?? 0) / 1000)} s`)
      process.stdout.write(`round ${round}: ours ${times[0] ?? ''}, dnsmasq and tgtd ${times[1] ?? ''}\n`)
    }
    return { power_on_to_first_read_vs_dnsmasq_tgtd: rounded(median(ours) / median(theirs)) }
  } finally {
    await stand.tearDown()
  }
})

async function bootFromUs(rack: Rack): Promise<number> {
  await rack.stand.startDaemon()
  try {
    return await firstReadMs(rack)
  } finally {
    await rack.stand.stopDaemons()
  }
}

/** A fixed address, a script by TFTP, a disk by tgtd: the how-to that most of their users follow. */
async function bootFromPeers(rack: Rack, scratch: string): Promise<number> {
  const { stand, machine, disk } = rack
  const tgtd = await Tgtd.make({ address: ADDRESS, port: PORT, namespace: stand.namespace })
  const script = join(scratch, 'boot.ipxe')
  await writeFile(script, `#!ipxe\nsanboot iscsi:${ADDRESS}:::1:${IQN}\n`)
  const dnsmasq = spawn('ip', [
    ...['netns', 'exec', stand.namespace, 'dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null'],
    ...['--port=0', '--interface=br0', '--dhcp-authoritative', '--user=root'],
    ...['--dhcp-range=198.18.0.100,198.18.0.150,1h', `--dhcp-host=${machine.mac},${machine.ip}`],
    ...[`--dhcp-leasefile=${join(scratch, 'leases')}`, '--enable-tftp', `--tftp-root=${scratch}`],
    ...['--dhcp-match=set:ipxe,175', '--dhcp-boot=tag:!ipxe,undionly.kpxe', '--dhcp-boot=tag:ipxe,boot.ipxe'],
  ])
  try {
    await tgtd.start()
    await exportDisk(tgtd.socketPath, disk)
    return await firstReadMs(rack)
  } finally {
    dnsmasq.kill('SIGKILL')
    await tgtd.remove()
  }
}

async function exportDisk(socketPath: string, disk: string): Promise<void> {
  const env = { TGT_IPC_SOCKET: socketPath.replace(/\.0$/, '') }
  const tgtadm = (...words: string[]): Promise<unknown> =>
    runCommand('tgtadm', ['-C', '0', '--lld', 'iscsi', ...words], { ...COMMAND, env })
  await tgtadm('--mode', 'target', '--op', 'new', '--tid', '1', '-T', IQN)
  await tgtadm('--mode', 'logicalunit', '--op', 'new', '--tid', '1', '--lun', '1', '-b', disk)
  await tgtadm('--mode', 'target', '--op', 'bind', '--tid', '1', '-I', 'ALL')
}

/** Presses the machine's power button; milliseconds until its first READ was on the bridge. */
async function firstReadMs({ stand, machine }: Rack): Promise<number> {
  const argv = ['netns', 'exec', stand.namespace, 'tcpdump', '--immediate-mode', '-l', '-n', '-tt', '-c', '1']
  const tcpdump = spawn('ip', [...argv, '-i', 'br0', FIRST_READ], { timeout: LIMIT_MS })
  let line = ''
  tcpdump.stdout.on('data', (text: Buffer) => (line += text.toString()))
  const ended = new Promise((resolve) => tcpdump.once('close', resolve))
  await new Promise((resolve) => tcpdump.stderr.once('data', resolve)) // it says when it listens
  const pressedMs = performance.timeOrigin + performance.now()
  await press(stand, machine.name, 'On')
  await ended
  await press(stand, machine.name, 'ForceOff')
  const seenMs = Number(line.split(' ')[0]) * 1000
  if (!(seenMs > pressedMs)) throw new Error(`${machine.name} read nothing in ${LIMIT_MS / 1000} s`)
  return seenMs - pressedMs
}
