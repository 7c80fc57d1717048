import { isAbsolute } from 'node:path'
import type { Logger } from 'pino'
import { DaemonError } from '../errors.js'
import type { ImageRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'
import type { Inspection } from '../rootdisk/image/inspect/inspection.js'

/** A disk to look into: a golden layer, or a file of the daemon's host. */
export type InspectedDisk =
  { readonly layerId: string; readonly sizeBytes: number } | { readonly path: string }

/** Looks into a disk. @throws DaemonError; the signal's reason */
export type InspectDisk = (disk: InspectedDisk, signal?: AbortSignal) => Promise<Inspection>

/** What images need to be looked into. */
export interface InspectionDeps {
  readonly registry: Registry
  readonly log: Logger
  readonly inspect: InspectDisk
}

/** Says of images what they have, what they lack and whether they boot, and keeps the answer. */
export class ImageInspections {
  readonly #registry: Registry
  readonly #log: Logger
  readonly #inspect: InspectDisk

  constructor({ registry, log, inspect }: InspectionDeps) {
    this.#registry = registry
    this.#log = log
    this.#inspect = inspect
  }

  /** Looks into an image again and keeps what it finds. @throws DaemonError NOT_FOUND, WRONG_STATE */
  async inspect(idOrName: string): Promise<Inspection> {
    const image = this.#registry.images.find(idOrName)
    if (image === undefined) throw new DaemonError('NOT_FOUND', `no image ${JSON.stringify(idOrName)}`)
    const { id, layerId, sizeBytes } = image
    if (layerId === undefined)
      throw new DaemonError('WRONG_STATE', `image ${image.name} is ${image.status}, not active`)
    const inspection = this.#withTwins(id, await this.#inspect({ layerId, sizeBytes }))
    this.keep(id, inspection)
    return inspection
  }

  /** Looks into a raw or qcow2 file, which becomes no image. @throws DaemonError INVALID_INPUT, IMAGE_REFUSED */
  async inspectFile(path: string): Promise<Inspection> {
    if (!isAbsolute(path))
      throw new DaemonError('INVALID_INPUT', `path: expected an absolute path, got ${JSON.stringify(path)}`)
    return this.#withTwins(undefined, await this.#inspect({ path }))
  }

  /**
   * What the finished layer of an image being made holds; undefined when it cannot be told here, which stops no import.
   * @throws DaemonError IMAGE_REFUSED when `isBootRequired` and it would not boot over iNIC; the signal's reason
   */
  async ofNew(
    image: Pick<ImageRecord, 'id' | 'name'>,
    disk: InspectedDisk,
    { isBootRequired, signal }: { isBootRequired: boolean; signal: AbortSignal },
  ): Promise<Inspection | undefined> {
    const found = await this.#inspect(disk, signal).catch((err: unknown) => {
      signal.throwIfAborted()
      if (isBootRequired) throw err
      this.#log.warn({ err, image: image.name }, 'the image could not be inspected')
      return undefined
    })
    const inspection = found && this.#withTwins(image.id, found)
    if (isBootRequired && inspection?.verdict !== 'inic')
      throw new DaemonError(
        'IMAGE_REFUSED',
        `the image is refused: it would not boot over iNIC (${reasons(inspection)})`,
      )
    return inspection
  }

  /** Writes an inspection into its image's row; properties that it says nothing of stay. */
  keep(imageId: string, inspection: Inspection): void {
    const before = this.#registry.images.get(imageId)?.properties ?? {}
    const properties = { ...before, ...inspection.properties }
    this.#registry.images.change(imageId, { properties, inspection: JSON.stringify(inspection) })
  }

  /** Names the other images with the same machine-id: servers of both would take each other's addresses. */
  #withTwins(imageId: string | undefined, inspection: Inspection): Inspection {
    const { machine_id: machineId } = inspection
    if (machineId === null) return inspection
    const others = this.#registry.images.list().filter(({ id }) => id !== imageId)
    const twins = others.filter((image) => inspectionOf(image)?.machine_id === machineId)
    if (twins.length === 0) return inspection
    const names = twins.slice(0, 5).map(({ name }) => name)
    const findings = inspection.findings.map((finding) =>
      finding.rule === 'machine-id'
        ? { ...finding, seen: `${finding.seen}, as have those of ${names.join(', ')}` }
        : finding,
    )
    return { ...inspection, findings }
  }
}

/** What an image's last inspection found; undefined before the first. */
export function inspectionOf({ inspection }: Pick<ImageRecord, 'inspection'>): Inspection | undefined {
  return inspection === undefined ? undefined : (JSON.parse(inspection) as Inspection) // written by keep, nobody else
}

function reasons(inspection: Inspection | undefined): string {
  return (inspection?.findings ?? []).map(({ seen }) => seen).join('; ')
}
