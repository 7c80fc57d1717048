import { randomUUID } from 'node:crypto'
import { isAbsolute } from 'node:path'
import type { Logger } from 'pino'
import type { Clock } from '../clock.js'
import { DaemonError } from '../errors.js'
import type { ImageRecord, JobRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'
import type { BuiltDisk } from '../rootdisk/image/kernel-files.js'
import { ImageInspections, type InspectDisk } from './image-inspections.js'
import type { JobContext, Jobs } from './jobs.js'
import { withProperties } from './image-properties.js'
import { checkImageName } from './names.js'

/** What an image is called and holds. */
export interface ImageDescription {
  readonly name: string
  readonly osType: ImageRecord['osType']
  readonly osVersion: string
  /** Refuse what would not boot over iNIC. */
  readonly isBootRequired?: boolean | undefined
}

/** What may be changed of an image; what is left out stays. */
export interface ImageWish extends Partial<{
  [K in keyof ImageDescription]: ImageDescription[K] | undefined
}> {
  readonly properties?: Readonly<Record<string, string | null>> | undefined
}

/** The disk work that images need, done by `rootdisk`. */
export interface ImageDisks {
  /** Copies the disk in `sourcePath` into a new immutable layer; leaves nothing behind when it fails. */
  readonly importFile: (
    layerId: string,
    sourcePath: string,
    context: JobContext,
  ) => Promise<{ sizeBytes: number; sha256: string }>
  /** Builds (or finds in the cache) the image of `recipe`; resolves to a raw disk file that is not ours to delete. */
  readonly build: (recipe: string, context: JobContext) => Promise<BuiltDisk>
  /** Makes a layer of another one with the remedies of `rules` applied (undefined: all); leaves nothing when it fails. */
  readonly fix: (
    layerId: string,
    source: { readonly layerId: string; readonly sizeBytes: number },
    rules: readonly string[] | undefined,
    context: JobContext,
  ) => Promise<{ sizeBytes: number; sha256: string }>
  /** Copies a built disk's kernel and initrd beside its layer; resolves to the kernel's arguments if it has them. */
  readonly keepKernel: (layerId: string, disk: BuiltDisk) => Promise<string | undefined>
  /** Looks into a disk without this host's kernel. */
  readonly inspect: InspectDisk
  /** Reads the whole layer again; resolves to the numbers of the 4 MiB chunks that are not what was sealed. */
  readonly damagedChunks: (layer: { layerId: string; sizeBytes: number }) => Promise<readonly number[]>
  /** Removes a layer's files; no error when there are none. */
  readonly deleteLayer: (layerId: string) => Promise<void>
  /** Removes unfinished layers, and those that are not `known` and hold no data. */
  readonly sweepLayers: (
    known: ReadonlySet<string>,
  ) => Promise<{ readonly removed: readonly string[]; readonly kept: readonly string[] }>
}

type MakeDisk = (
  layerId: string,
  context: JobContext,
) => Promise<{ sizeBytes: number; sha256: string; kernelArguments?: string | undefined }>

interface Making {
  readonly image: ImageRecord
  readonly make: MakeDisk
  readonly isBootRequired: boolean
}

/** Imports, builds and deletes images. */
export class Images {
  /** What they hold, and whether they boot. */
  readonly inspections: ImageInspections
  readonly #registry: Registry
  readonly #clock: Clock
  readonly #log: Logger
  readonly #jobs: Jobs
  readonly #disks: ImageDisks

  constructor(deps: { registry: Registry; clock: Clock; log: Logger; jobs: Jobs; disks: ImageDisks }) {
    this.#registry = deps.registry
    this.#clock = deps.clock
    this.#log = deps.log
    this.#jobs = deps.jobs
    this.#disks = deps.disks
    this.inspections = new ImageInspections({ ...deps, inspect: deps.disks.inspect })
  }

  /** Starts to import the raw or qcow2 file at the absolute `path`. @throws DaemonError INVALID_INPUT, NAME_TAKEN */
  startImport(path: string, description: ImageDescription): { image: ImageRecord; job: JobRecord } {
    if (!isAbsolute(path))
      throw new DaemonError('INVALID_INPUT', `path: expected an absolute path, got ${JSON.stringify(path)}`)
    return this.#begin('image-import', description, (layerId, context) =>
      this.#disks.importFile(layerId, path, context),
    )
  }

  /** Starts to build the image of `recipe` (`debian-12`). @throws DaemonError INVALID_INPUT, NAME_TAKEN */
  startBuild(recipe: string, description: ImageDescription): { image: ImageRecord; job: JobRecord } {
    return this.#begin('image-build', description, async (layerId, context) => {
      const disk = await this.#disks.build(recipe, scaled(context, 0, 0.8))
      const imported = await this.#disks.importFile(layerId, disk.path, scaled(context, 0.8, 0.2))
      return { ...imported, kernelArguments: await this.#disks.keepKernel(layerId, disk) }
    })
  }

  /**
   * Starts to make an image of another one, with the remedies of the rules that it breaks: all, or those named.
   * @throws DaemonError NOT_FOUND, WRONG_STATE, INVALID_INPUT, NAME_TAKEN
   */
  startFix(
    idOrName: string,
    { name, rules }: { name: string; rules: readonly string[] | undefined },
  ): { image: ImageRecord; job: JobRecord } {
    const { layerId: sourceId, sizeBytes, status, osType, osVersion } = this.get(idOrName)
    if (sourceId === undefined)
      throw new DaemonError('WRONG_STATE', `image ${idOrName} is ${status}, not active`)
    return this.#begin('image-fix', { name, osType, osVersion }, (layerId, context) =>
      this.#disks.fix(layerId, { layerId: sourceId, sizeBytes }, rules, context),
    )
  }

  /** The image of that name or id. @throws DaemonError NOT_FOUND */
  get(idOrName: string): ImageRecord {
    const image = this.#registry.images.find(idOrName)
    if (image === undefined) throw new DaemonError('NOT_FOUND', `no image ${JSON.stringify(idOrName)}`)
    return image
  }

  /** Every image. */
  list(): readonly ImageRecord[] {
    return this.#registry.images.list()
  }

  /** Reads an image's disk again and compares it with its digests. @throws DaemonError NOT_FOUND, WRONG_STATE */
  async verify(idOrName: string): Promise<{ image: ImageRecord; damagedChunks: readonly number[] }> {
    const image = this.get(idOrName)
    if (image.layerId === undefined)
      throw new DaemonError('WRONG_STATE', `image ${image.name} is ${image.status}, not active`)
    return {
      image,
      damagedChunks: await this.#disks.damagedChunks({ layerId: image.layerId, sizeBytes: image.sizeBytes }),
    }
  }

  /**
   * Changes what is known of an image; a property that is null goes, those not named stay.
   * @throws DaemonError NOT_FOUND, INVALID_INPUT, NAME_TAKEN
   */
  change(idOrName: string, wish: ImageWish): ImageRecord {
    const { id, properties } = this.get(idOrName)
    const { name, osType, osVersion } = wish
    this.#registry.images.change(id, {
      ...(name !== undefined && { name: checkImageName(name) }),
      ...(osType !== undefined && { osType }),
      ...(osVersion !== undefined && { osVersion }),
      properties: withProperties(properties, wish.properties ?? {}),
    })
    return this.get(id)
  }

  /** Deletes an image that no volume was cloned from. @throws DaemonError NOT_FOUND, IN_USE, WRONG_STATE */
  async delete(idOrName: string): Promise<void> {
    const image = this.get(idOrName)
    if (image.status === 'saving') throw new DaemonError('WRONG_STATE', `image ${image.name} is being made`)
    this.#registry.transaction(() => {
      const volumes = this.#registry.volumes.countByImage(image.id)
      if (volumes > 0)
        throw new DaemonError('IN_USE', `image ${image.name} is in use by ${volumes} volume(s)`)
      this.#registry.images.delete(image.id)
      if (image.layerId !== undefined) this.#registry.layers.delete(image.layerId)
    })
    if (image.layerId !== undefined) await this.#disks.deleteLayer(image.layerId)
  }

  /** Removes what died with an earlier daemon left, rows and files; call once, before anything is made. */
  async sweep(): Promise<void> {
    for (const image of this.#registry.images.list()) {
      if (image.status === 'active') continue
      await this.#disks.deleteLayer(image.id)
      this.#registry.images.delete(image.id)
    }
    const { layers, doomedLayers } = this.#registry
    const known = new Set([...layers.list().map(({ id }) => id), ...doomedLayers.list()])
    const { removed, kept } = await this.#disks.sweepLayers(known)
    if (removed.length > 0) this.#log.info({ removed }, 'leftovers of an earlier daemon were removed')
    if (kept.length > 0) this.#log.warn({ kept }, 'layers with data that the registry does not know are kept')
  }

  #begin(
    kind: string,
    description: ImageDescription,
    make: MakeDisk,
  ): { image: ImageRecord; job: JobRecord } {
    const image: ImageRecord = {
      id: randomUUID(),
      name: checkImageName(description.name),
      status: 'saving',
      osType: description.osType,
      osVersion: description.osVersion,
      sizeBytes: 0,
      layerId: undefined,
      sha256: undefined,
      kernelArguments: undefined,
      properties: {},
      inspection: undefined,
      createdMs: this.#clock.nowMs(),
    }
    this.#registry.images.insert(image)
    const job = this.#jobs.start(kind, image.name, (context) =>
      this.#make({ image, make, isBootRequired: description.isBootRequired ?? false }, context),
    )
    return { image, job }
  }

  async #make({ image, make, isBootRequired }: Making, context: JobContext): Promise<void> {
    const layerId = image.id // so that the row of an import that died names the files it left
    try {
      const { sizeBytes, sha256, kernelArguments } = await make(layerId, context)
      const disk = { layerId, sizeBytes }
      const asked = { isBootRequired, signal: context.signal }
      const inspection = await this.inspections.ofNew(image, disk, asked)
      this.#registry.transaction(() => {
        const layer = { id: layerId, parentId: undefined, sizeBytes, isImmutable: true }
        this.#registry.layers.insert({ ...layer, createdMs: this.#clock.nowMs() })
        this.#registry.images.setActive(image.id, { layerId, sha256, sizeBytes, kernelArguments })
        if (inspection !== undefined) this.inspections.keep(image.id, inspection)
      })
    } catch (err) {
      // Files first: on a full disk the registry needs the room that they give back.
      await this.#disks.deleteLayer(layerId).catch((cause: unknown) => {
        this.#log.error({ err: cause, image: image.name }, 'files of a failed import could not be removed')
      })
      this.#registry.images.delete(image.id)
      throw err
    }
  }
}

function scaled(context: JobContext, from: number, share: number): JobContext {
  return {
    signal: context.signal,
    progress: (fraction, message) => context.progress(from + fraction * share, message),
  }
}
