import { spawn } from 'node:child_process'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../../../src/command.js'
import { until, type Stand } from '../stand.js'
import type { PartnerWish } from './rows.js'

const PROGRAM = join(import.meta.dirname, 'link-partner.py').replace('/dist/', '/')
const LIMIT = { timeoutMs: 20_000 } as const

/** The far end of a bond, running in the stand's namespace. */
export interface LinkPartner {
  /** What it said: a line at each change of a port. */
  readonly logFile: string
  /** Ends it; its devices go with it. */
  stop(): Promise<void>
}

/** Starts the far end of a bond on those taps and gives its devices their addresses. */
export async function startPartner(
  stand: Stand,
  wish: PartnerWish,
  taps: readonly string[],
): Promise<LinkPartner> {
  const logFile = join(stand.dir, `${wish.device}.log`)
  const log = await open(logFile, 'a+')
  const vlans = wish.vlans.flatMap(({ id, device }) => ['--vlan', `${id}=${device}`])
  const argv = [...(wish.hasLacp ? ['--lacp'] : []), '--device', wish.device, ...vlans, ...taps]
  const child = spawn('ip', ['netns', 'exec', stand.namespace, '/usr/bin/python3', PROGRAM, ...argv], {
    stdio: ['pipe', log.fd, log.fd],
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  try {
    await until('the link partner is ready', 20_000, async () => {
      const { buffer, bytesRead } = await log.read(Buffer.alloc(4096), 0, 4096, 0)
      const said = buffer.toString('utf8', 0, bytesRead)
      if (child.exitCode !== null) throw new Error(`it ended: ${said}`)
      return said.includes('ready')
    })
    const devices = [wish, ...wish.vlans].map((device) => ({ mtu: 9000, ...device }))
    const lines = devices.flatMap(({ device, addresses, mtu }) => [
      `link set ${device} mtu ${mtu} up`,
      ...addresses.map(
        (address) => `addr add ${address} dev ${device}${address.includes(':') ? ' nodad' : ''}`,
      ),
    ])
    const stdin = `${lines.join('\n')}\n`
    await runCommand('ip', ['-n', stand.namespace, '-batch', '-'], { ...LIMIT, stdin })
  } catch (err) {
    child.stdin?.end()
    throw err
  } finally {
    await log.close()
  }
  return {
    logFile,
    async stop() {
      child.stdin?.end()
      await ended
    },
  }
}
