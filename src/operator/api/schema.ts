import { Type, type Static } from 'typebox'

/** Every path of the native API starts with this. */
export const API_PREFIX = '/ingot/v1'

/** Options of every body: what nobody knows is an error. */
export const strict = { additionalProperties: false }
/** A name or an id. */
export const Name = Type.String({ minLength: 1, maxLength: 128 })

const SwitchPort = Type.Object(
  {
    circuit_id: Type.Optional(Type.String({ maxLength: 512 })),
    remote_id: Type.Optional(Type.String({ maxLength: 512 })),
  },
  strict,
)

const Role = Type.Union([Type.Literal('tenant'), Type.Literal('storage')])
const Inic = Type.Union([Type.Literal('nic'), Type.Literal('card')])

const NewNic = Type.Object(
  {
    mac: Type.String({ maxLength: 32 }),
    ip: Type.Optional(Type.String({ maxLength: 32 })),
    switch_port: Type.Optional(SwitchPort),
    role: Type.Optional(Role),
  },
  strict,
)

/** POST /machines */
export const NewMachineBody = Type.Object(
  {
    name: Name,
    firmware: Type.Optional(Type.Union([Type.Literal('bios'), Type.Literal('uefi')])),
    nics: Type.Array(NewNic, { minItems: 1, maxItems: 16 }),
    bmc_url: Type.Optional(Type.String({ maxLength: 512 })),
    bmc_credentials_file: Type.Optional(Type.String({ maxLength: 4096 })),
    console_file: Type.Optional(Type.String({ maxLength: 4096 })),
    loader: Type.Optional(Type.String({ maxLength: 128 })),
    inic: Type.Optional(Inic),
  },
  strict,
)
export type NewMachineBody = Static<typeof NewMachineBody>

/**
 * PATCH /machines/:id, what is named changes; a null `loader` is the loader table's again, with a null `switch_port`
 * the first NIC is known by its MAC alone; `nics` gives roles to those that it names
 */
export const MachineChange = Type.Object(
  {
    // null first: the validator makes a string of it otherwise
    loader: Type.Optional(Type.Union([Type.Null(), Type.String({ maxLength: 128 })])),
    switch_port: Type.Optional(Type.Union([SwitchPort, Type.Null()])),
    nics: Type.Optional(
      Type.Array(Type.Object({ mac: Type.String({ maxLength: 32 }), role: Role }, strict), { maxItems: 16 }),
    ),
    add_nics: Type.Optional(Type.Array(NewNic, { maxItems: 16 })),
    remove_nics: Type.Optional(Type.Array(Type.String({ maxLength: 32 }), { maxItems: 16 })),
    inic: Type.Optional(Inic),
  },
  strict,
)
export type MachineChange = Static<typeof MachineChange>

const ImageFields = {
  name: Name,
  os_type: Type.Optional(Type.Union([Type.Literal('linux'), Type.Literal('windows'), Type.Literal('other')])),
  os_version: Type.Optional(Type.String({ maxLength: 255 })),
}

/** PATCH /images/:id: what is named changes; a property that is null goes */
export const ImageChangeBody = Type.Object(
  {
    name: Type.Optional(Name),
    os_type: ImageFields.os_type,
    os_version: ImageFields.os_version,
    properties: Type.Optional(
      Type.Record(
        Type.String({ maxLength: 64 }),
        Type.Union([Type.Null(), Type.String({ maxLength: 1024 })]),
        { maxProperties: 64 },
      ),
    ),
  },
  strict,
)
export type ImageChangeBody = Static<typeof ImageChangeBody>

/** POST /images: exactly one of `path` (a file of the daemon's host) and `recipe` (built here) */
export const NewImageBody = Type.Object(
  {
    ...ImageFields,
    path: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
    recipe: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    require_bootable: Type.Optional(Type.Boolean()),
  },
  strict,
)
export type NewImageBody = Static<typeof NewImageBody>

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
    readonly role: string
  }[]
  readonly bmc_url: string | null
  /** Its own loader; null: what the loader table has for the firmware that asks. */
  readonly loader: string | null
  /** How the root disk comes: `nic` or `card`. */
  readonly inic: string
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
  /** Such as `hw_firmware_type`, `os_distro`, `boot`. */
  readonly properties: Readonly<Record<string, string>>
  /** What was found inside; null: nobody looked. */
  readonly inspection: unknown
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
  /** Names of the keys that may log in. */
  readonly keys: readonly string[]
  /** The network document it was given; null: what follows from the machine's NICs. */
  readonly network: unknown
  readonly has_admin_password: boolean
  /** Windows has posted a password: see GET /servers/:id/password. */
  readonly has_sealed_password: boolean
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
