import { parseMac } from '../wire/mac.js'
import { inMemory, type BootFile } from './boot-files.js'
import { bootUrl, decideBoot, type BootPolicy, type BootTarget } from './decide.js'

/** What files for machines are made from. */
export interface MachineFilesDeps {
  /**
   * The server of the machine that asks from `ip`: by `mac` where the name has one, else by the address.
   * Undefined also when `ip` is another machine's than `mac`.
   */
  readonly findTarget: (ip: string, mac: string | undefined) => BootTarget | undefined
  readonly policy: BootPolicy
}

/** PXELINUX asks for its UUID, its MAC, eight cuts of its address, then `default`; most are nowhere. */
const PXELINUX = /(?:^|\/)pxelinux\.cfg\/(.*)$/
const BY_MAC = /^01-((?:[0-9a-f]{2}-){5}[0-9a-f]{2})$/i
const AUTOEXEC = /(?:^|\/)autoexec\.ipxe$/

/**
 * Files that TFTP makes for the machine that asks, whatever directory it thinks that it is in: `autoexec.ipxe`, which
 * an iPXE without a script of its own runs, and `pxelinux.cfg/01-MAC`. Both only lead to where {@link decideBoot}
 * sends the machine: it stays the one decision.
 */
export class MachineFiles {
  readonly #deps: MachineFilesDeps

  constructor(deps: MachineFilesDeps) {
    this.#deps = deps
  }

  /** The file of that name for the machine at `ip`; undefined when it is none of ours or no server has the machine. */
  virtualFile(name: string, ip: string): BootFile | undefined {
    const text = this.#text(name, ip)
    return text === undefined ? undefined : inMemory(Buffer.from(text))
  }

  /** Names that a loader asks for and does without. */
  isOptional(name: string): boolean {
    return AUTOEXEC.test(name) || PXELINUX.test(name)
  }

  #text(name: string, ip: string): string | undefined {
    const { findTarget, policy } = this.#deps
    if (AUTOEXEC.test(name)) {
      const target = findTarget(ip, undefined)
      return target && autoexec(target, policy)
    }
    const mac = pxelinuxMac(name)
    const target = mac === undefined ? undefined : findTarget(ip, mac)
    return target && mac && pxelinux(target, mac, policy)
  }
}

function pxelinuxMac(name: string): string | undefined {
  const [, config = ''] = PXELINUX.exec(name) ?? []
  const [, mac = ''] = BY_MAC.exec(config) ?? []
  return parseMac(mac)
}

// A try of iPXE ends after 15 s, spanning tree opens a port after 30 to 50: five tries are more than a minute.
// Old iPXE (1.0.0+git-20190125) asks before any network is up; without a script it goes on to DHCP by itself.
function autoexec(target: BootTarget, policy: BootPolicy): string {
  return [
    '#!ipxe',
    'set try:int32 0',
    ':address',
    'isset ${netX/ip} && goto script ||',
    'inc try',
    'dhcp && goto script ||',
    'iseq ${try} 5 && exit 1 ||',
    'sleep 2',
    'goto address',
    ':script',
    `chain --replace ${bootUrl(policy, target.bootToken)}/script ||`,
    '',
  ].join('\n')
}

// PXE keeps the network stack for what it loads; LOCALBOOT 0 goes on to the next boot device (syslinux.txt).
function pxelinux(target: BootTarget, mac: string, policy: BootPolicy): string {
  const client = { mac, arch: 0, isIpxe: false, isHttpClient: false, isPxeClient: true }
  // A loader of the machine's own may be PXELINUX itself.
  const { bootFile } = decideBoot(client, { ...target, loader: undefined }, policy)
  const step = bootFile === undefined ? 'LOCALBOOT 0' : `PXE ${bootFile}`
  return `DEFAULT ingot\nPROMPT 0\nLABEL ingot\n  ${step}\n`
}
