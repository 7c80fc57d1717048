/** A DHCP server that is not ours. */
export interface OtherServerView {
  readonly server: string
  /** The address that it would give; null from a proxy. */
  readonly offered: string | null
  readonly boot_file: string | null
}

/** GET /doctor/network: the boot network now, and what is wrong with it. */
export interface NetworkReportView {
  readonly is_sound: boolean
  readonly findings: readonly { readonly about: string; readonly message: string }[]
  readonly subnets: readonly {
    readonly cidr: string
    readonly mode: 'authoritative' | 'proxy' | 'off'
    readonly address: string
    readonly relayed: boolean
    /** Null where nobody was asked. */
    readonly other_servers: readonly OtherServerView[] | null
    /** The relays of this subnet that were heard. */
    readonly relays: readonly string[]
  }[]
  readonly interfaces: readonly {
    readonly name: string
    readonly state: string
    readonly mac: string
    readonly addresses: readonly string[]
  }[]
  /** UDP sockets of the daemon. */
  readonly sockets: readonly {
    readonly address: string
    readonly port: number
    readonly queued_bytes: number
    readonly drops: number
  }[]
}
