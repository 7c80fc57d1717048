import { blockFailure } from './block-failure.js'
import { settled, type LayerFiles } from './layer-files.js'
import type { LiveMap } from './live-map.js'
import { mapPageAt } from './map-file.js'

/** What a writable volume has beside its chain: the live map of the top layer, and its map on disk. */
export interface WritablePart {
  readonly live: LiveMap
  readonly diskMapFd: number
  /** Called when the volume is closed and all is on disk. */
  forgetLiveMap(): Promise<void>
}

/**
 * Makes everything acknowledged before the call survive power loss. The order is the proof: copies of the map
 * pages as they are before the data sync (all their bits name bytes already in the kernel), the data sync, the
 * pages to disk, the map sync. A map that could not be written is written again by the next flush.
 * When a data sync fails Linux may drop the bytes and report success next time, so no later flush of this
 * volume succeeds until the host has booted again.
 * @throws BlockError
 */
export async function flushToDisk(files: LayerFiles, dataFd: number, part: WritablePart): Promise<void> {
  const pages = part.live.takeDirty()
  try {
    await syncData(files, dataFd, part.live)
    for (const [pageNo, page] of pages) {
      await settled((done) => files.write(part.diskMapFd, page, mapPageAt(pageNo), done))
    }
    if (pages.size > 0) await settled((done) => files.sync(part.diskMapFd, done))
  } catch (err) {
    part.live.putBack(pages.keys())
    throw blockFailure('flush', err)
  }
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
