import { Type, type Static } from 'typebox'

/** Every path of the native API starts with this. */
export const API_PREFIX = '/ingot/v1'

const strict = { additionalProperties: false }
const Name = Type.String({ minLength: 1, maxLength: 128 })

const SwitchPort = Type.Object(
  {
    circuit_id: Type.Optional(Type.String({ maxLength: 512 })),
    remote_id: Type.Optional(Type.String({ maxLength: 512 })),
  },
  strict,
)

/** POST /machines */
export const NewMachineBody = Type.Object(
  {
    name: Name,
    firmware: Type.Optional(Type.Union([Type.Literal('bios'), Type.Literal('uefi')])),
    nics: Type.Array(
      Type.Object(
        {
          mac: Type.String({ maxLength: 32 }),
          ip: Type.Optional(Type.String({ maxLength: 32 })),
          switch_port: Type.Optional(SwitchPort),
        },
        strict,
      ),
      { minItems: 1, maxItems: 16 },
    ),
    bmc_url: Type.Optional(Type.String({ maxLength: 512 })),
    bmc_credentials_file: Type.Optional(Type.String({ maxLength: 4096 })),
    console_file: Type.Optional(Type.String({ maxLength: 4096 })),
    loader: Type.Optional(Type.String({ maxLength: 128 })),
  },
  strict,
)
export type NewMachineBody = Static<typeof NewMachineBody>

/**
 * PATCH /machines/:id, what is named changes; a null `loader` is the loader table's again, with a null `switch_port`
 * the first NIC is known by its MAC alone
 */
export const MachineChange = Type.Object(
  {
    // null first: the validator makes a string of it otherwise
    loader: Type.Optional(Type.Union([Type.Null(), Type.String({ maxLength: 128 })])),
    switch_port: Type.Optional(Type.Union([SwitchPort, Type.Null()])),
  },
  strict,
)
export type MachineChange = Static<typeof MachineChange>

const ImageFields = {
  name: Name,
  os_type: Type.Optional(Type.Union([Type.Literal('linux'), Type.Literal('windows'), Type.Literal('other')])),
  os_version: Type.Optional(Type.String({ maxLength: 255 })),
}

/** POST /images: exactly one of `path` (a file of the daemon's host) and `recipe` (built here) */
export const NewImageBody = Type.Object(
  {
    ...ImageFields,
    path: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
    recipe: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  },
  strict,
)
export type NewImageBody = Static<typeof NewImageBody>

/** POST /servers */
export const NewServerBody = Type.Object(
  {
    name: Name,
    image: Name,
    machine: Type.Optional(Name),
    ssh_keys: Type.Optional(Type.Array(Type.String({ maxLength: 16384 }), { maxItems: 32 })),
    /** base64 */
    user_data: Type.Optional(Type.String({ maxLength: 65536 })),
    addressing: Type.Optional(Type.Union([Type.Literal('dhcp'), Type.Literal('static')])),
  },
  strict,
)
export type NewServerBody = Static<typeof NewServerBody>

/** POST /servers/:id/{stop,reboot} */
export const PowerBody = Type.Object({ force: Type.Optional(Type.Boolean()) }, strict)
export type PowerBody = Static<typeof PowerBody>

/** POST /servers/:id/rescue: the next boot shows a menu, unless `cancel` */
export const RescueBody = Type.Object({ cancel: Type.Optional(Type.Boolean()) }, strict)
export type RescueBody = Static<typeof RescueBody>

const SizeBytes = Type.Integer({ minimum: 0 })

/** POST /volumes: `size_bytes`, `snapshot` or both */
export const NewVolumeBody = Type.Object(
  { name: Name, size_bytes: Type.Optional(SizeBytes), snapshot: Type.Optional(Name) },
  strict,
)
export type NewVolumeBody = Static<typeof NewVolumeBody>

/** POST /volumes/:id/grow */
export const GrowBody = Type.Object({ size_bytes: SizeBytes }, strict)
export type GrowBody = Static<typeof GrowBody>

/** POST /volumes/:id/rollback */
export const RollbackBody = Type.Object({ snapshot: Name }, strict)
export type RollbackBody = Static<typeof RollbackBody>

/** POST /servers/:id/{attach,detach} */
export const VolumeBody = Type.Object({ volume: Name }, strict)
export type VolumeBody = Static<typeof VolumeBody>

/** POST /volumes/:id/nbd: `socket` is an absolute path on the daemon's host */
export const NbdBody = Type.Object(
  { socket: Type.String({ minLength: 1, maxLength: 4096 }), writable: Type.Optional(Type.Boolean()) },
  strict,
)
export type NbdBody = Static<typeof NbdBody>

/** POST /snapshots */
export const NewSnapshotBody = Type.Object({ volume: Name, name: Name }, strict)
export type NewSnapshotBody = Static<typeof NewSnapshotBody>

/** A machine as answered. Times are ISO 8601. */
export interface MachineView {
  readonly id: string
  readonly name: string
  readonly firmware: string
  readonly nics: readonly {
    readonly mac: string
    readonly ip: string | null
    /** Hex of option 82.1, a slash, hex of 82.2. */
    readonly switch_port: string | null
  }[]
  readonly bmc_url: string | null
  /** Its own loader; null: what the loader table has for the firmware that asks. */
  readonly loader: string | null
  readonly server: string | null
  readonly created_at: string
}

/** A DHCP lease as answered: whose address it is, or whose it was last. */
export interface LeaseView {
  readonly ip: string
  readonly mac: string
  /** Hexadecimal digits of the client's option 61. */
  readonly client_id: string | null
  readonly machine: string | null
  readonly server: string | null
  readonly state: 'active' | 'expired'
  readonly expires_at: string
}

/** An image as answered. */
export interface ImageView {
  readonly id: string
  readonly name: string
  readonly status: string
  readonly os_type: string
  readonly os_version: string
  readonly size_bytes: number
  readonly sha256: string | null
  readonly created_at: string
}

/** POST /images/:id/verify */
export interface ImageVerdict {
  readonly sha256: string | null
  readonly matches: boolean
  /** Numbers of the 4 MiB chunks that are not what was imported. */
  readonly damaged_chunks: readonly number[]
}

/** A server as answered. */
export interface ServerView {
  readonly id: string
  readonly name: string
  readonly status: string
  readonly machine: string
  readonly image: string
  readonly ip: string | null
  readonly iqn: string
  readonly instance_id: string
  /** Its next boot asks at the console what to boot, or the one in progress does. */
  readonly rescue: boolean
  readonly addressing: string
  readonly volume_size_bytes: number
  /** Bytes the clone holds of its own on the host's disk. */
  readonly volume_allocated_bytes: number
  readonly clone_ms: number
  readonly created_at: string
}

/** A volume as answered. */
export interface VolumeView {
  readonly id: string
  readonly name: string
  readonly kind: 'system' | 'data'
  readonly size_bytes: number
  /** Bytes it holds of its own on the host's disk, without its parents and snapshots. */
  readonly allocated_bytes: number
  readonly server: string | null
  readonly lun: number | null
  readonly image: string | null
  readonly snapshots: readonly string[]
  readonly created_at: string
}

/** A snapshot as answered. */
export interface SnapshotView {
  readonly id: string
  readonly name: string
  readonly volume: string
  readonly status: string
  readonly size_bytes: number
  /** Bytes that its layer holds on the host's disk. */
  readonly allocated_bytes: number
  readonly created_at: string
}

/** GET /volumes/:id/map: who shows which part; zeros are nobody's. */
export interface VolumeMapView {
  readonly extents: readonly {
    readonly offset: number
    readonly length: number
    readonly layer: string | null
    /** `volume NAME`, `snapshot NAME` or `image NAME`. */
    readonly of: string | null
  }[]
  /** `?offset=` of the next part; null at the end. */
  readonly next_offset: number | null
}

/** POST /volumes/:id/check: the files of each layer of a volume that nobody uses, top first */
export interface VolumeCheck {
  readonly is_sound: boolean
  readonly layers: readonly {
    readonly layer: string
    readonly of: string | null
    readonly problems: readonly string[]
    /** Bytes of the clusters that the layer has. */
    readonly allocated_bytes: number
    /** Bytes that the host's file system holds for them. */
    readonly held_bytes: number
  }[]
}

/** POST /volumes/:id/verify: the images under a volume, read again. */
export interface VolumeVerdict {
  readonly matches: boolean
  readonly layers: readonly {
    readonly image: string
    /** Numbers of the 4 MiB chunks that are not what was imported. */
    readonly damaged_chunks: readonly number[]
  }[]
}

/** A job as answered. */
export interface JobView {
  readonly id: string
  readonly kind: string
  readonly status: 'RUNNING' | 'SUCCESS' | 'FAIL'
  readonly subject: string | null
  readonly progress: number
  readonly message: string
}

/** An event as answered. */
export interface EventView {
  readonly seq: number
  readonly at: string
  readonly kind: string
  readonly stage: string | null
  readonly message: string
}

/** GET /servers/:id/timeline: the latest boot. */
export interface TimelineView {
  readonly status: string
  readonly boot_id: string | null
  readonly steps: readonly {
    readonly stage: string
    readonly at: string | null
    readonly took_ms: number | null
  }[]
}

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
