import { asksToBoot, seenOf, type BootAnswer, type BootClient } from './boot-client.js'
import { isSignedLoader } from './grub/signed-parts.js'
import type { Loader, LoaderTable } from './loader-table.js'

/** What the registry knows about the machine that asks: the server it belongs to and the disk behind it. */
export interface BootTarget {
  readonly serverId: string
  readonly serverName: string
  readonly machineName: string
  /** `server` boots from its disk in the target, `rescue` asks at the console first, `local` from a disk in the machine. */
  readonly intent: 'server' | 'rescue' | 'local'
  /** The secret part of this server's boot URLs; letters, digits, `-` and `_`. */
  readonly bootToken: string
  readonly firmware: 'bios' | 'uefi'
  /** The NIC that its registration says it boots from; lower case with colons. */
  readonly bootMac: string
  /** The machine's own loader instead of the table's, for every firmware it may have. */
  readonly loader?: string | undefined
  readonly iqn: string
  readonly initiatorIqn: string
  readonly chapUser: string
  readonly chapSecret: string
  /** How the target proves itself to the server (mutual CHAP); empty where it cannot. */
  readonly targetUser: string
  readonly targetSecret: string
  /** Dotted IPv4 of the iSCSI portal as the machine reaches it. */
  readonly portalAddress: string
  readonly portalPort: number
  /** The LUN of the system disk, as the target shows it. */
  readonly systemLun: number
  /** Whether the system that boots is told DHCP's router in the iBFT; `left-out` where the target needs none. */
  readonly ibftGateway: 'kept' | 'left-out'
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
  readonly script: 'server' | 'rescue' | 'local'
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
    return {
      bootFile,
      nextServer: policy.address,
      gives: 'script',
      reason: `script of server ${record.serverName} for iPXE`,
    }
  }
  if (asksToBoot(client)) return loaderAnswer(client, record, policy)
  return { reason: 'address only: neither PXE, HTTP boot nor iPXE asks (an operating system does)' }
}

/** Which script a server gets when its iPXE asks; the same rule as {@link decideBoot}, asked later. */
export function decideScript({ intent, serverName, iqn }: BootTarget): ScriptChoice {
  switch (intent) {
    case 'local':
      return { script: 'local', reason: `server ${serverName} boots from its local disk` }
    case 'rescue':
      return { script: 'rescue', reason: `server ${serverName} asks at its console what to boot` }
    case 'server':
      return { script: 'server', reason: `server ${serverName} boots from ${iqn}` }
  }
}

// Chosen by what asks now, never by what the machine is said to be: one box asks as BIOS, UEFI and HTTP client.
function loaderAnswer(client: BootClient, record: BootTarget, policy: BootPolicy): BootAnswer {
  const row = client.arch === undefined ? undefined : policy.loaders.get(client.arch)
  const file = record.loader ?? row?.file
  if (file === undefined) return noLoader(client, record, row)
  const kind = row?.name ?? 'an unnamed architecture'
  if (isByHttp(client, row) && isSignedLoader(file)) {
    // Seen with Debian 12: shim comes by HTTP, GRUB too, and then has no http to read its configuration with.
    return { reason: `address only: ${file} is given by PXE, its GRUB cannot go on by HTTP` }
  }
  if (!isByHttp(client, row)) {
    const gives = `loader ${file} by TFTP`
    return { bootFile: file, nextServer: policy.address, gives, reason: `${gives} for ${kind}` }
  }
  // UEFI 2.10 §24.7.3.1: without HTTPClient in the reply OVMF (2022.11) repeats its DISCOVER for ever.
  return {
    bootFile: `${bootUrl(policy, record.bootToken)}/loaders/${encodeURIComponent(file)}`,
    nextServer: policy.address,
    vendorClass: 'HTTPClient',
    gives: `loader ${file} by HTTP`,
    reason: `loader ${file} by HTTP for ${kind}`,
  }
}

function isByHttp(client: BootClient, row: Loader | undefined): boolean {
  return client.isHttpClient || (!client.isPxeClient && row?.by === 'http')
}

function noLoader(client: BootClient, { serverName }: BootTarget, row: Loader | undefined): BootAnswer {
  const why = whyNone(client.arch, row)
  const hint = 'name one with "ingot machine set MACHINE --loader FILE"'
  return {
    reason: `address only: ${why}`,
    trouble: {
      kind: 'boot.no-loader',
      message: `no loader for the machine of server ${serverName}: ${why}; seen: ${seenOf(client)}; ${hint}`,
    },
  }
}

function whyNone(arch: number | undefined, row: Loader | undefined): string {
  if (arch === undefined) return 'the firmware names no architecture (option 93)'
  if (row === undefined) return `architecture ${arch} is not in the loader table`
  return `architecture ${arch}, ${row.name}: ${row.none ?? 'no loader'}`
}
