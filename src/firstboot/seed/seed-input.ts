import type { NetworkModel } from '../network/network.js'
import type { OsType } from './user-data.js'

/** A public key that may log in. */
export interface SeedKey {
  /** 1 to 255 printable characters, each name once. */
  readonly name: string
  /** OpenSSH, one line. */
  readonly publicKey: string
}

/** Everything a server is told at its first boot. */
export interface SeedInput {
  /** Stays with the server for life: 1 to 64 of `A-Za-z0-9._-`, first a letter or digit. */
  readonly serverId: string
  /** New with every deploy, so that the guest does its first boot again; same rule as `serverId`. */
  readonly instanceId: string
  /** RFC 1123 §2.1 host name, with or without a domain, at most 253 characters. */
  readonly hostname: string
  /** At most 64, and 256 KiB together. */
  readonly keys: readonly SeedKey[]
  /** The user's own bytes, see `readUserData`. */
  readonly userData?: Uint8Array
  readonly network: NetworkModel
  /** Where the guest says that it is ready: an absolute http or https URL. */
  readonly phoneHomeUrl: string
  /** Same rule as `serverId`. */
  readonly availabilityZone?: string
  /** Same rule as `serverId`. */
  readonly projectId?: string
  /** `linux` unless told. */
  readonly osType?: OsType
  /** For the image's default user: crypt(5) of SHA-512 (`$6$`). Never a password in clear, so never for Windows. */
  readonly adminPasswordHash?: string
  /** `bondAlways`: the image's network plug-in fails on a document without a bond. */
  readonly networkQuirks?: { readonly bondAlways: boolean }
  /** What EC2's `local-ipv4` says. */
  readonly localIpv4?: string
  /** At least 16 bytes that only the registry knows, kept for the server's life: the guest's `random_seed` comes of it. */
  readonly seedSecret?: Uint8Array
  /** `meta` of OpenStack's meta_data.json; keys and values of 1 to 255 characters. */
  readonly metadata?: Readonly<Record<string, string>>
  /** The program that a stock Linux image is given to apply its network: plugins/bms-network-config, at most 1 MiB. */
  readonly networkAgent?: Uint8Array
}
