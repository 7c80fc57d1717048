import type { BootAnswer, BootClient } from './boot-client.js'
import type { LoaderTable } from './loader-table.js'

/** What the registry knows about the machine that asks: the server it belongs to and the disk behind it. */
export interface BootTarget {
  readonly serverId: string
  readonly serverName: string
  /** `server` boots from its disk in the target, `local` from a disk in the machine. */
  readonly intent: 'server' | 'local'
  /** The secret part of this server's boot URLs; letters, digits, `-` and `_`. */
  readonly bootToken: string
  readonly firmware: 'bios' | 'uefi'
  readonly iqn: string
  readonly initiatorIqn: string
  readonly chapUser: string
  readonly chapSecret: string
  /** Dotted IPv4 of the iSCSI portal as the machine reaches it. */
  readonly portalAddress: string
  readonly portalPort: number
  /** The LUN of the system disk, as the target shows it. */
  readonly systemLun: number
}

/** Where machines of one segment find us, and what they are sent first. */
export interface BootPolicy {
  /** Dotted IPv4 of our TFTP and HTTP listeners on that segment. */
  readonly address: string
  readonly httpPort: number
  readonly loaders: LoaderTable
}

/** Which script a machine gets, and why. */
export interface ScriptChoice {
  readonly script: 'server' | 'local' | 'unknown'
  readonly reason: string
}

/** `http://ADDR:PORT/boot/TOKEN`: the stem of everything a machine asks of us by HTTP. */
export function bootUrl(policy: Pick<BootPolicy, 'address' | 'httpPort'>, bootToken: string): string {
  return `http://${policy.address}:${policy.httpPort}/boot/${encodeURIComponent(bootToken)}`
}

/**
 * The one boot decision: what does this client boot now, and why. No boot file means "an address, nothing more",
 * on which firmware goes on to its next boot device.
 *
 * The first rule that fits wins. iPXE comes before every loader rule, by user class or option 175 and on every port:
 * an iPXE that is sent a loader loads itself for ever.
 */
export function decideBoot(
  client: BootClient,
  record: BootTarget | undefined,
  policy: BootPolicy,
): BootAnswer {
  if (record === undefined) return { reason: 'address only: no server has this machine' }
  if (record.intent === 'local') {
    return { reason: `address only: server ${record.serverName} boots from its local disk` }
  }
  if (client.isIpxe) {
    const bootFile = `${bootUrl(policy, record.bootToken)}/script`
    return { bootFile, nextServer: policy.address, reason: `script of server ${record.serverName} for iPXE` }
  }
  if (client.isHttpClient || client.isPxeClient) return loaderAnswer(client, policy)
  return { reason: 'address only: neither PXE, HTTP boot nor iPXE asks (an operating system does)' }
}

/** Which script a server gets when its iPXE asks; the same rule as {@link decideBoot}, asked later. */
export function decideScript(record: BootTarget | undefined): ScriptChoice {
  if (record === undefined) return { script: 'unknown', reason: 'no server has this machine' }
  if (record.intent === 'local') {
    return { script: 'local', reason: `server ${record.serverName} boots from its local disk` }
  }
  return { script: 'server', reason: `server ${record.serverName} boots from ${record.iqn}` }
}

function loaderAnswer(client: BootClient, policy: BootPolicy): BootAnswer {
  if (client.arch === undefined)
    return { reason: 'address only: the firmware names no architecture (option 93)' }
  const loader = policy.loaders.get(client.arch)
  if (loader === undefined) return { reason: `address only: no loader for architecture ${client.arch}` }
  if (!client.isHttpClient) {
    const reason = `loader ${loader.file} by TFTP for ${loader.name}`
    return { bootFile: loader.file, nextServer: policy.address, reason }
  }
  // UEFI 2.10 §24.7.3.1: without HTTPClient in the reply OVMF (2022.11) repeats its DISCOVER for ever.
  return {
    bootFile: `http://${policy.address}:${policy.httpPort}/boot/loaders/${encodeURIComponent(loader.file)}`,
    nextServer: policy.address,
    vendorClass: 'HTTPClient',
    reason: `loader ${loader.file} by HTTP for ${loader.name}`,
  }
}
