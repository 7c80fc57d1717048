/** Characters of an option's text that an event repeats. */
const MAX_SEEN = 64

/** Who asks to be booted, as far as its DHCP options (or its HTTP request) tell. */
export interface BootClient {
  /** Lower case with colons, as `parseMac` gives it. */
  readonly mac: string
  /** The first architecture of DHCP option 93 (RFC 4578 §2.1): 0 BIOS, 7 and 9 x64 UEFI, 16 x64 UEFI HTTP. */
  readonly arch: number | undefined
  /** User class `iPXE` (option 77) or option 175 present: never send it a loader again. */
  readonly isIpxe: boolean
  /** Option 60 starts with `HTTPClient`. */
  readonly isHttpClient: boolean
  /** Option 60 starts with `PXEClient`. */
  readonly isPxeClient: boolean
  /** Option 60 as it came: text of the network. */
  readonly vendorClass?: string
  /** Whether option 175 (iPXE's own) is there. */
  readonly hasIpxeOption?: boolean
  /** It only looks for an offer (DISCOVER): nothing was taken yet. */
  readonly isDiscover?: boolean
  /** Option 77: the bare text iPXE sends, or the first class of RFC 3004's list. */
  readonly userClass?: string
  /** Option 97 without its type byte, lower-case hex (32 digits), in wire order; absent when all zero. */
  readonly uuid?: string
}

/** An event that a decision causes; `message` has what was seen of the client. */
export interface BootTrouble {
  readonly kind: 'boot.no-loader' | 'boot.loop'
  readonly message: string
}

/** What the client is told to boot. Every absent field stays out of the reply: the firmware falls to its disk. */
export interface BootAnswer {
  /** A TFTP path, or an absolute URL for iPXE and HTTP boot. */
  readonly bootFile?: string
  /** Dotted IPv4 of the TFTP server (siaddr and option 66); the DHCP server's own address when absent. */
  readonly nextServer?: string
  /** Option 60 of the reply; OVMF's HTTP boot refuses an OFFER without `HTTPClient`. */
  readonly vendorClass?: 'PXEClient' | 'HTTPClient'
  /** What `bootFile` is, without what changes from boot to boot: `script`, `loader snponly.efi by TFTP`. */
  readonly gives?: string
  /** Why, in words, for the event and the debug log. */
  readonly reason: string
  /** What an operator must be told: the machine cannot boot like this. */
  readonly trouble?: BootTrouble
}

/** Whether firmware or a loader asks; an operating system names neither a class of these nor an architecture. */
export function asksToBoot(client: BootClient): boolean {
  return client.isIpxe || client.isHttpClient || client.isPxeClient || client.arch !== undefined
}

/** The user class that our scripts set before they ask for an address again: no boot begins with that. */
export const SCRIPT_CLASS = 'ingot-script'

/** Whether one of our scripts asks, having fetched itself already. */
export function isScriptClient(client: BootClient): boolean {
  return client.userClass === SCRIPT_CLASS
}

/** What was seen of a client, for an operator: `60 "PXEClient:Arch:00007", 77 none, 93 7, 175 absent`. */
export function seenOf(client: BootClient): string {
  const arch = client.arch === undefined ? 'none' : String(client.arch)
  const ipxe = client.hasIpxeOption === true ? 'present' : 'absent'
  return `60 ${quoted(client.vendorClass)}, 77 ${quoted(client.userClass)}, 93 ${arch}, 175 ${ipxe}`
}

function quoted(text: string | undefined): string {
  return text === undefined ? 'none' : `"${text.slice(0, MAX_SEEN).replace(/[^\x20-\x7e]|"/g, '?')}"`
}

/** The boot decision as the DHCP server is handed it; undefined means "an address, nothing to boot". */
export type DecideBoot = (client: BootClient) => BootAnswer | undefined
