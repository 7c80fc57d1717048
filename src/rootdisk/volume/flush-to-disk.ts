import { blockFailure } from './block-failure.js'
import { settled, type LayerFiles } from './layer-files.js'
import { HEADER_PAGE, type LiveMap } from './live-map.js'
import { mapPageAt } from './map-file.js'

/** The files of a layer whose map on disk may be behind its live map. */
export interface FlushedParts {
  readonly live: LiveMap
  readonly dataFd: number
  readonly diskMapFd: number
}

/**
 * Makes everything acknowledged before the call survive power loss. The order is the proof: copies of the map
 * pages as they are before the data sync (all their bits name bytes already in the kernel), the data sync, the
 * pages to disk, the map sync. A map that could not be written is written again by the next flush.
 * A header that names a new size is written only once both files are durably that long; one that names a new
 * group of pages is there before a page of it, or a page that was lost once could come back with it later.
 * When a data sync fails Linux may drop the bytes and report success next time, so no later flush of this
 * layer succeeds until the host has booted again.
 * @throws BlockError
 */
export async function flushToDisk(
  files: LayerFiles,
  { live, dataFd, diskMapFd }: FlushedParts,
): Promise<void> {
  const pages = live.takeDirty()
  try {
    await syncData(files, dataFd, live)
    const header = pages.get(HEADER_PAGE)
    if (header !== undefined) {
      await settled((done) => files.sync(diskMapFd, done))
      await settled((done) => files.write(diskMapFd, header, 0, done))
      await settled((done) => files.sync(diskMapFd, done))
    }
    await writePages(files, diskMapFd, pages)
  } catch (err) {
    live.putBack(pages.keys())
    throw blockFailure('flush', err)
  }
}

async function writePages(files: LayerFiles, fd: number, pages: Map<number, Uint8Array>): Promise<void> {
  let count = 0
  for (const [pageNo, page] of pages) {
    if (pageNo === HEADER_PAGE) continue
    await settled((done) => files.write(fd, page, mapPageAt(pageNo), done))
    count++
  }
  if (count > 0) await settled((done) => files.sync(fd, done))
}

async function syncData(files: LayerFiles, dataFd: number, live: LiveMap): Promise<void> {
  if (live.isSyncBroken) throw new Error('an earlier data sync failed in this boot of the host')
  try {
    await settled((done) => files.sync(dataFd, done))
  } catch (err) {
    live.breakSync()
    throw err
  }
}
