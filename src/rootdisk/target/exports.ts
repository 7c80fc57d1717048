import type { ServerRecord, VolumeRecord } from '../../registry/records.js'
import type { Registry } from '../../registry/registry.js'
import { targetCredentials } from '../../registry/target-credentials.js'
import type { BlockDevice } from '../block-device.js'
import type { LunSpec, TargetSpec } from '../export.js'
import { LUN } from './driver.js'
import { SeedDisks, type SeedFailure, type SeedSource } from './seed-disks.js'

/** How the exports are opened. */
export interface ExportSources extends SeedSource {
  readonly registry: Registry
  /** Shared by all who serve the volume; closing it lets it go. */
  readonly openVolume: (volumeId: string) => Promise<BlockDevice>
  /** 16 hex digits for the seed disk's NAA identifier. */
  readonly seedNaa: (server: ServerRecord) => string
}

/** What a reload did, by target name. */
export interface ReloadResult {
  readonly added: readonly string[]
  readonly removed: readonly string[]
  /** Those that show another system disk than before. */
  readonly replaced: readonly string[]
}

/** The targets that should exist, read from the registry; one a server. */
export class Exports {
  readonly #sources: ExportSources
  readonly #seeds: SeedDisks
  #targets = new Map<string, TargetSpec>()

  constructor(sources: ExportSources) {
    this.#sources = sources
    this.#seeds = new SeedDisks(sources)
  }

  /** The target of that name. */
  find(iqn: string): TargetSpec | undefined {
    return this.#targets.get(iqn)
  }

  /** The targets that show a volume, by name. */
  showing(volumeId: string): string[] {
    return this.list()
      .filter(({ luns }) => luns.some(({ serial }) => serial === volumeId))
      .map(({ iqn }) => iqn)
  }

  /** Every target. */
  list(): TargetSpec[] {
    return [...this.#targets.values()]
  }

  /** Gives the seed disks that are open the bytes of now; those that could not be. */
  followSeeds(): Promise<SeedFailure[]> {
    return this.#seeds.follow((id) => this.#sources.registry.servers.get(id))
  }

  /** Reads the registry again. Targets that stay are replaced only where their sessions cannot tell. */
  reload(): ReloadResult {
    const { registry } = this.#sources
    const next = new Map<string, TargetSpec>()
    for (const server of registry.servers.list()) {
      const volume = registry.volumes.get(server.volumeId)
      if (volume !== undefined) next.set(server.iqn, this.#targetOf(server, volume))
    }
    const before = this.#targets
    this.#targets = next
    return {
      added: [...next.keys()].filter((iqn) => !before.has(iqn)),
      removed: [...before.keys()].filter((iqn) => !next.has(iqn)),
      replaced: [...next].filter(([iqn, spec]) => isOtherDisk(before.get(iqn), spec)).map(([iqn]) => iqn),
    }
  }

  #targetOf(server: ServerRecord, volume: VolumeRecord): TargetSpec {
    const { registry, seedNaa } = this.#sources
    const openSeed = async (): Promise<BlockDevice> =>
      Promise.resolve(this.#seeds.open(registry.servers.get(server.id) ?? server))
    return {
      iqn: server.iqn,
      initiatorIqn: server.initiatorIqn,
      // Each boot has a secret of its own: the one of now, whenever the last reload was.
      get chap() {
        const now = registry.servers.get(server.id) ?? server
        return { user: now.chapUser, secret: now.chapSecret }
      },
      get mutual() {
        return targetCredentials(registry.servers.get(server.id) ?? server)
      },
      luns: [
        this.#lunOf(LUN.system, volume),
        { lun: LUN.seed, naa: seedNaa(server), serial: `seed-${server.id}`, open: openSeed },
        ...this.#dataLuns(server),
      ],
    }
  }

  #dataLuns(server: ServerRecord): LunSpec[] {
    const { attachments, volumes } = this.#sources.registry
    return attachments.listByServer(server.id).flatMap(({ volumeId, lun }) => {
      const volume = volumes.get(volumeId)
      return volume === undefined ? [] : [this.#lunOf(lun, volume)]
    })
  }

  #lunOf(lun: number, { id, naa }: VolumeRecord): LunSpec {
    return { lun, naa, serial: id, open: () => this.#sources.openVolume(id) }
  }
}

function isOtherDisk(before: TargetSpec | undefined, now: TargetSpec): boolean {
  const systemDisk = ({ luns }: TargetSpec): string | undefined =>
    luns.find(({ lun }) => lun === LUN.system)?.serial
  return before !== undefined && systemDisk(before) !== systemDisk(now)
}
