import type {
  ImageRecord,
  LayerRecord,
  MachineRecord,
  ServerRecord,
  VolumeRecord,
} from '../../src/registry/records.js'
import type { Registry } from '../../src/registry/registry.js'

/** One image on layer `golden`. */
export const IMAGE: ImageRecord = {
  id: 'image-1',
  name: 'debian-12',
  status: 'active',
  osType: 'linux',
  osVersion: '12',
  sizeBytes: 3 * 2 ** 30,
  layerId: 'golden',
  sha256: 'ab'.repeat(32),
  kernelArguments: undefined,
  properties: {},
  inspection: undefined,
  createdMs: 1000,
}

/** The image's layer. */
export const GOLDEN: LayerRecord = {
  id: 'golden',
  parentId: undefined,
  sizeBytes: 3 * 2 ** 30,
  isImmutable: true,
  createdMs: 1000,
}

/** A server's own layer over the image's. */
export const CLONE: LayerRecord = {
  id: 'clone',
  parentId: 'golden',
  sizeBytes: 3 * 2 ** 30,
  isImmutable: false,
  createdMs: 2000,
}

/** The volume made of `CLONE`. */
export const VOLUME: VolumeRecord = {
  id: 'volume-1',
  name: 'web-1-system',
  layerId: 'clone',
  naa: '6e1be11e00000001',
  sizeBytes: 3 * 2 ** 30,
  imageId: 'image-1',
  createdMs: 2000,
}

/** A machine of two NICs. */
export const MACHINE: MachineRecord = {
  id: 'machine-1',
  name: 'rack1-u1',
  firmware: 'uefi',
  bmcUrl: undefined,
  bmcCredentialsFile: undefined,
  consoleFile: undefined,
  loader: undefined,
  inic: 'nic',
  nics: [
    {
      mac: '52:54:00:00:00:01',
      machineId: 'machine-1',
      position: 0,
      ip: '198.18.0.11',
      switchPort: undefined,
      role: 'tenant',
    },
    {
      mac: '52:54:00:00:00:02',
      machineId: 'machine-1',
      position: 1,
      ip: undefined,
      switchPort: undefined,
      role: 'tenant',
    },
  ],
  createdMs: 1000,
}

/** A server on all of the above. */
export const SERVER: ServerRecord = {
  id: 'server-1',
  name: 'web-1',
  machineId: 'machine-1',
  imageId: 'image-1',
  volumeId: 'volume-1',
  status: 'BUILD',
  instanceId: 'instance-1',
  bootIntent: 'server',
  rescue: undefined,
  iqn: 'iqn.2026-11.test.ingot:web-1',
  initiatorIqn: 'iqn.2026-11.test.ingot:host:web-1',
  chapUser: 'web-1',
  chapSecret: 'a secret of the test',
  bootToken: 'token-1',
  addressing: 'dhcp',
  keys: [
    { name: 'key-0', publicKey: 'ssh-ed25519 AAAA one' },
    { name: 'key-1', publicKey: 'ssh-ed25519 AAAA two' },
  ],
  network: undefined,
  adminPasswordHash: undefined,
  sealedPassword: undefined,
  seedSecret: Buffer.alloc(32, 7),
  userData: Buffer.from('#cloud-config\n'),
  cloneMs: 2.5,
  createdMs: 3000,
}

/** Puts the whole sample in. */
export function fill(registry: Registry): void {
  registry.transaction(() => {
    registry.layers.insert(GOLDEN)
    registry.images.insert(IMAGE)
    registry.layers.insert(CLONE)
    registry.volumes.insert(VOLUME)
    registry.machines.insert(MACHINE)
    registry.servers.insert(SERVER)
  })
}
