import { DaemonError } from '../../../errors.js'
import type { EmitEvent } from '../../../events.js'
import type { ServerRecord, VolumeRecord } from '../../../registry/records.js'
import type { Registry } from '../../../registry/registry.js'
import type { LayerDirs } from '../../volume/layer.js'
import { LUN, shownLun, type Followed, type TargetDriver, type TargetSession } from '../driver.js'
import { createTarget, deleteTarget, freeTid, updateTarget, type TargetWish } from './plan.js'
import { forgetOtherSeeds, rawDisk, seedDisk } from './raw-disk.js'
import type { ShownTarget } from './shown.js'
import type { TgtClient } from './tgt-client.js'

/** What {@link TgtDriver} needs. */
export interface TgtDriverDeps {
  readonly client: Pick<TgtClient, 'targets' | 'run'>
  readonly registry: Registry
  readonly dirs: LayerDirs
  readonly bootId: string
  /** Targets of other names are somebody else's and left alone. */
  readonly isOurs: (iqn: string) => boolean
  /** The whole seed disk of a server as it should be now; the same bytes while nothing of it changed. */
  readonly renderSeed: (server: ServerRecord) => Uint8Array
  /** Told of every disk and target that is not as wished. */
  readonly emit: EmitEvent
}

interface Failure {
  readonly volumeId: string
  readonly message: string
}

/**
 * Serves the registry's volumes through tgtd: raw files, made once of each volume's layers, as the LUNs of targets
 * that only their own initiator with its secret gets into.
 */
export class TgtDriver implements TargetDriver {
  readonly #deps: TgtDriverDeps
  #followed: readonly string[] = []
  #last: Promise<unknown> = Promise.resolve()

  constructor(deps: TgtDriverDeps) {
    this.#deps = deps
  }

  /** Makes disks that are missing, then changes in tgtd what is other than wished. One call after the other. */
  reload(): Promise<Followed> {
    const next = this.#last.then(() => this.#follow())
    this.#last = next.catch(ignore)
    return next
  }

  async sessions(): Promise<readonly TargetSession[]> {
    return (await this.#ours()).flatMap(({ iqn, nexuses }) =>
      nexuses.map(({ initiator, address }) => ({ iqn, initiator, remoteAddress: address })),
    )
  }

  /** Whether a tgtd that shows this has lost targets, as one that was started again. */
  isBehind(shown: readonly ShownTarget[]): boolean {
    const there = new Set(shown.map(({ iqn }) => iqn))
    return this.#followed.some((iqn) => !there.has(iqn))
  }

  async #follow(): Promise<Followed> {
    const { client, registry, isOurs, emit } = this.#deps
    await client.targets() // nobody there: no disk is made in vain
    const failed: Failure[] = []
    const wishes = new Map<string, { volumeId: string; wish: TargetWish }>()
    for (const server of registry.servers.list()) {
      const wish = await this.#wishOf(server, failed)
      if (wish !== undefined) wishes.set(server.iqn, { volumeId: server.volumeId, wish })
    }
    const known = new Set(registry.servers.list().map(({ iqn }) => iqn))
    for (const target of await client.targets()) {
      if (isOurs(target.iqn) && !known.has(target.iqn)) await client.run(deleteTarget(target))
    }
    const followed: string[] = []
    for (const { volumeId, wish } of wishes.values()) {
      await noting(failed, volumeId, async () => {
        await this.#bringTo(wish)
        followed.push(wish.iqn)
      })
    }
    this.#followed = followed
    for (const { message } of failed) emit({ kind: 'tgt.not-followed', message })
    return { failed }
  }

  async #bringTo(wish: TargetWish): Promise<void> {
    const { client } = this.#deps
    const shown = await client.targets()
    const target = shown.find(({ iqn }) => iqn === wish.iqn)
    await client.run(target === undefined ? createTarget(wish, freeTid(shown)) : updateTarget(wish, target))
    const seed = wish.luns.find(({ isReadOnly }) => isReadOnly)
    if (seed !== undefined) await forgetOtherSeeds(seed.path)
  }

  /** With its files there; undefined when one could not be made, and then the target stays as it is. */
  async #wishOf(server: ServerRecord, failed: Failure[]): Promise<TargetWish | undefined> {
    const volume = this.#deps.registry.volumes.get(server.volumeId)
    if (volume === undefined) return undefined
    const before = failed.length
    const luns: TargetWish['luns'][number][] = []
    for (const { lun, record } of [{ lun: LUN.system, record: volume }, ...this.#dataVolumes(server)]) {
      await noting(failed, record.id, async () => {
        luns.push({
          lun: shownLun('tgt', lun),
          path: await this.#raw(record),
          serial: record.id,
          isReadOnly: false,
        })
      })
    }
    await noting(failed, volume.id, async () => {
      const path = await seedDisk(this.#deps.dirs.layersDir, volume.layerId, this.#deps.renderSeed(server))
      luns.push({ lun: shownLun('tgt', LUN.seed), path, serial: server.id, isReadOnly: true })
    })
    if (failed.length > before) return undefined
    const { iqn, initiatorIqn, chapUser: user, chapSecret: secret } = server
    return { iqn, initiatorIqn, chap: { user, secret }, luns }
  }

  #dataVolumes(server: ServerRecord): { lun: number; record: VolumeRecord }[] {
    const { attachments, volumes } = this.#deps.registry
    return attachments.listByServer(server.id).flatMap(({ volumeId, lun }) => {
      const record = volumes.get(volumeId)
      return record === undefined ? [] : [{ lun, record }]
    })
  }

  #raw(volume: VolumeRecord): Promise<string> {
    const { registry, dirs, bootId } = this.#deps
    const chain = registry.layers.chain(volume.layerId)
    return rawDisk({ ...dirs, bootId, chain: chain.map(({ id, sizeBytes }) => ({ layerId: id, sizeBytes })) })
  }

  async #ours(): Promise<ShownTarget[]> {
    return (await this.#deps.client.targets()).filter(({ iqn }) => this.#deps.isOurs(iqn))
  }
}

/** A disk or target that fails is told; the others are brought where they should be. A tgtd that is gone fails all. */
async function noting(failed: Failure[], volumeId: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (err) {
    if (err instanceof DaemonError && err.code === 'TARGET_UNAVAILABLE') throw err
    failed.push({ volumeId, message: err instanceof Error ? err.message : String(err) })
  }
}

function ignore(): void {
  // whoever called is told
}
