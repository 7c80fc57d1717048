import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from '../../src/command.js'
import { readIso9660 } from '../firstboot/seed/iso-reader.js'
import { cloudInitEnvironment, putFiles } from './cloud-init-oracle.js'

/** A data source of cloud-init, and over which way it reads. */
export type Source =
  'NoCloud' | 'ConfigDrive' | 'OpenStack' | 'Ec2' | 'Ec2-with-tokens' | 'NoCloud-local' | 'NoCloud-net'

/** What a data source understood. */
export interface Understood {
  /** The class that read it. */
  readonly source: string
  readonly instanceId: string
  readonly hostname: string
  readonly sshKeys: readonly string[]
  /** base64 */
  readonly userData: string
  /** base64 */
  readonly vendorData: string
  readonly network: unknown
  readonly availabilityZone: string | null
  readonly launchIndex: number | string | null
  /** base64 */
  readonly randomSeed: string
  /** Whether it has a session token of EC2. */
  readonly hasToken: boolean
}

const PROBE = join(import.meta.dirname, 'datasource-probe.py')
// cloud-init takes process 1 of a container with this in its environment for a server of OpenStack.
const AS_OPENSTACK = ['unshare', '--pid', '--fork', '--mount-proc', 'env', 'product_name=OpenStack Nova']

/** Has sources read, one after the other. @param inside words that lead to where they run, such as a namespace's */
export async function readAll(
  folder: string,
  sources: readonly Source[],
  inside: readonly string[] = [],
): Promise<Understood[]> {
  const probes = sources.map((source) => `${source}=${scratchOf(folder, source)}`)
  const [program = '', ...args] = [...inside, ...AS_OPENSTACK, '/usr/bin/python3', PROBE, ...probes]
  const { stdout } = await runCommand(program, args, { timeoutMs: 120_000, env: cloudInitEnvironment() })
  const lines = stdout.split('\n').filter((line) => line.startsWith('{'))
  return lines.map((line) => JSON.parse(line) as Understood) // the probe prints these
}

/** Puts both volumes of a seed disk where sources look for files, read by the test's own reader of ISO 9660. */
export function putDisk(folder: string, disk: Buffer): void {
  const [configDrive, noCloud] = [446, 462].map((entry) => {
    const start = disk.readUInt32LE(entry + 8) * 512
    const volume = disk.subarray(start, start + disk.readUInt32LE(entry + 12) * 512)
    return readIso9660(volume.subarray(0, volume.readUInt32LE(16 * 2048 + 80) * 2048))
  })
  if (configDrive?.label !== 'config-2' || noCloud?.label !== 'cidata') throw new Error('not our two volumes')
  putFiles(join(scratchOf(folder, 'ConfigDrive'), 'cloud/seed/config_drive'), configDrive.files)
  putFiles(join(scratchOf(folder, 'NoCloud'), 'cloud/seed/nocloud'), noCloud.files)
}

function scratchOf(folder: string, source: Source): string {
  const scratch = join(folder, source)
  mkdirSync(scratch, { recursive: true })
  return scratch
}
