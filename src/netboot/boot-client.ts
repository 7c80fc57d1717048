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
  /** Option 77: the bare text iPXE sends, or the first class of RFC 3004's list. */
  readonly userClass?: string
  /** Option 97 without its type byte, lower-case hex (32 digits), in wire order; absent when all zero. */
  readonly uuid?: string
}

/** What the client is told to boot. Every absent field stays out of the reply: the firmware falls to its disk. */
export interface BootAnswer {
  /** A TFTP path, or an absolute URL for iPXE and HTTP boot. */
  readonly bootFile?: string
  /** Dotted IPv4 of the TFTP server (siaddr and option 66); the DHCP server's own address when absent. */
  readonly nextServer?: string
  /** Option 60 of the reply; OVMF's HTTP boot refuses an OFFER without `HTTPClient`. */
  readonly vendorClass?: 'PXEClient' | 'HTTPClient'
  /** Why, in words, for the event and the debug log. */
  readonly reason: string
}

/** The boot decision as the DHCP server is handed it; undefined means "an address, nothing to boot". */
export type DecideBoot = (client: BootClient) => BootAnswer | undefined
