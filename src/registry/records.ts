import type { Stage } from '../events.js'

/** An immutable system disk. `layerId` is set once it is `active`. */
export interface ImageRecord {
  readonly id: string
  readonly name: string
  readonly status: 'queued' | 'saving' | 'active' | 'killed'
  readonly osType: 'linux' | 'windows' | 'other'
  readonly osVersion: string
  readonly sizeBytes: number
  readonly layerId: string | undefined
  readonly sha256: string | undefined
  /** What the kernel kept beside its layer is started with; undefined: none is kept. */
  readonly kernelArguments: string | undefined
  /** What is known of it, by names such as `hw_firmware_type`. */
  readonly properties: Readonly<Record<string, string>>
  /** JSON text of what was found inside; undefined: nobody looked. */
  readonly inspection: string | undefined
  readonly createdMs: number
}

/** A set of clusters over a parent; `id` names its directory. */
export interface LayerRecord {
  readonly id: string
  readonly parentId: string | undefined
  readonly sizeBytes: number
  readonly isImmutable: boolean
  readonly createdMs: number
}

/** A disk a server uses. */
export interface VolumeRecord {
  readonly id: string
  readonly name: string
  readonly layerId: string
  readonly naa: string
  readonly sizeBytes: number
  readonly imageId: string | undefined
  readonly createdMs: number
}

/** A data volume that a server sees as the LUN `lun` (2..255). */
export interface AttachmentRecord {
  readonly volumeId: string
  readonly serverId: string
  readonly lun: number
}

/**
 * What a volume held at one moment. `creating`: the target may not have gone on to the layer above yet;
 * `deleting`: its clusters may be on their way up into the layer above.
 */
export interface SnapshotRecord {
  readonly id: string
  readonly name: string
  readonly volumeId: string
  readonly layerId: string
  readonly status: 'creating' | 'available' | 'deleting'
  readonly sizeBytes: number
  readonly createdMs: number
}

/** A NIC; position 0 is the one firmware boots from. */
export interface NicRecord {
  readonly mac: string
  readonly machineId: string
  readonly position: number
  readonly ip: string | undefined
  /** Where it is plugged in, as `switchPortName` writes it: a NIC that was replaced is known by it. */
  readonly switchPort: string | undefined
  /** A `storage` NIC carries the root disk and is no part of the guest's network. */
  readonly role: 'tenant' | 'storage'
}

/** A physical (or rig) box with its NICs in order of position. */
export interface MachineRecord {
  readonly id: string
  readonly name: string
  readonly firmware: 'bios' | 'uefi'
  readonly bmcUrl: string | undefined
  readonly bmcCredentialsFile: string | undefined
  /** Its loader instead of the table's: a plain file name. */
  readonly loader: string | undefined
  /** How its root disk comes: over a NIC, or by a card that shows it as a local disk. */
  readonly inic: 'nic' | 'card'
  /** Where the serial console is logged. */
  readonly consoleFile: string | undefined
  readonly nics: readonly NicRecord[]
  readonly createdMs: number
}

/** A public key that may log in, and what it is called. */
export interface ServerKey {
  readonly name: string
  /** A line of authorized_keys without options. */
  readonly publicKey: string
}

/** A key pair: its public half, for servers to come. */
export interface KeypairRecord extends ServerKey {
  /** The type that the public key begins with, as `ssh-ed25519`. */
  readonly kind: string
  /** `SHA256:` and 43 characters, as ssh-keygen says it. */
  readonly fingerprint: string
  readonly createdMs: number
}

/** What a user created: a machine with a system volume cloned from an image. */
export interface ServerRecord {
  readonly id: string
  readonly name: string
  readonly machineId: string
  readonly imageId: string
  readonly volumeId: string
  readonly status: 'BUILD' | 'ACTIVE' | 'SHUTOFF' | 'REBOOT' | 'ERROR'
  readonly instanceId: string
  readonly bootIntent: 'server' | 'local'
  /** Its next boot shows the rescue menu; the one in progress does. */
  readonly rescue: 'wanted' | 'shown' | undefined
  readonly iqn: string
  readonly initiatorIqn: string
  readonly chapUser: string
  readonly chapSecret: string
  readonly bootToken: string
  readonly addressing: 'dhcp' | 'static'
  readonly keys: readonly ServerKey[]
  /** JSON text of the wished network; undefined: what follows from the machine's NICs and their subnets. */
  readonly network: string | undefined
  /** crypt(3) with SHA-512 (`$6$`). */
  readonly adminPasswordHash: string | undefined
  /** base64 of what Windows sealed with the server's RSA key and posted. */
  readonly sealedPassword: string | undefined
  /** 32 random bytes, the server's for life: what its seed must say again is derived from them. */
  readonly seedSecret: Buffer
  readonly userData: Buffer | undefined
  readonly cloneMs: number
  readonly createdMs: number
}

/** A DHCP lease; a machine's fixed address has one too once it was given. */
export interface LeaseRecord {
  readonly ip: string
  readonly mac: string
  readonly clientId: string | undefined
  readonly expiresMs: number
}

/** What became of an address: leased, or (without a lease) nobody's any more. */
export type LeaseChange = readonly [ip: string, lease: LeaseRecord | undefined]

/** One power-on (or reboot) of a server. */
export interface BootRecord {
  readonly id: string
  readonly serverId: string
  readonly startedMs: number
}

/** Something that happened; `seq` grows by time. */
export interface EventRecord {
  readonly seq: number
  readonly atMs: number
  readonly kind: string
  readonly message: string
  readonly stage: Stage | undefined
  readonly machineId: string | undefined
  readonly serverId: string | undefined
  readonly bootId: string | undefined
  readonly mac: string | undefined
  readonly ip: string | undefined
  readonly iqn: string | undefined
}

/** Long work. A job found RUNNING at start-up died with its daemon: it is marked FAIL. */
export interface JobRecord {
  readonly id: string
  readonly kind: string
  readonly status: 'RUNNING' | 'SUCCESS' | 'FAIL'
  readonly subject: string | undefined
  readonly progress: number
  readonly message: string
  readonly createdMs: number
  readonly endedMs: number | undefined
}
