import type { DaemonEvent } from '../../events.js'
import type { Exports, ReloadResult } from './exports.js'
import type { FollowFailure, FollowResult, OpenVolumes } from './open-volumes.js'
import type { Elsewhere } from './workers/placement.js'

/** What clients reach disks through. */
export interface Portal {
  /** Brings clients that stay to what is exported now, and ends the others. */
  refresh(): Promise<void>
  /** Closes what is open of these targets. */
  drop?(iqns: ReadonlySet<string>): Promise<void>
}

/** What follows the registry. */
export interface ReloadParts {
  readonly exports: Exports
  readonly volumes: OpenVolumes
  readonly portals: readonly Portal[]
  readonly emit: (event: DaemonEvent) => void
}

/** What a reload did. */
export interface ReloadReport extends ReloadResult {
  readonly volumes: FollowResult
}

/**
 * Brings targets, LUNs, layers and sizes to what the registry wishes, without touching other sessions. A volume
 * that was rolled back under a session that should not have been there is closed: its initiator logs in again.
 * What another process has is closed too, and a target whose server has another system disk: nobody may go on
 * writing there what was meant for the one before.
 */
export async function reload(
  { exports, volumes, portals, emit }: ReloadParts,
  elsewhere: Pick<Elsewhere, 'iqns'> = { iqns: [] },
): Promise<ReloadReport> {
  const drop = async (iqns: readonly string[]): Promise<void> => {
    const gone = new Set(iqns)
    if (gone.size > 0) await Promise.all(portals.map(async (portal) => portal.drop?.(gone)))
  }
  const result = exports.reload()
  await drop([...result.removed, ...result.replaced, ...elsewhere.iqns])
  const followed = await volumes.follow()
  for (const { iqn, message } of await exports.followSeeds()) {
    emit({ kind: 'seed.behind', message: `the seed disk goes on as it was: ${message}`, iqn })
  }
  const displaced = followed.failed.filter(({ mustClose }) => mustClose)
  await drop(displaced.flatMap(({ volumeId }) => exports.showing(volumeId)))
  await Promise.all(portals.map((portal) => portal.refresh()))
  const failed = followed.failed.filter(({ volumeId }) => volumes.openIds.includes(volumeId))
  for (const failure of failed) emit(eventOf(failure, exports))
  return { ...result, volumes: { ...followed, failed } }
}

function eventOf({ volumeId, message }: FollowFailure, exports: Exports): DaemonEvent {
  const [iqn] = exports.showing(volumeId)
  return {
    kind: 'volume.behind',
    message: `volume ${volumeId} goes on as it was: ${message}`,
    ...(iqn !== undefined && { iqn }),
  }
}
