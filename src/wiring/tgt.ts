import { join } from 'node:path'
import { systemClock } from '../clock.js'
import type { EventIntake } from '../control/event-intake.js'
import { isServerIqn } from '../control/new-server.js'
import type { StateDirs } from '../control/state-dirs.js'
import { DaemonError } from '../errors.js'
import type { Stage } from '../events.js'
import type { Registry } from '../registry/registry.js'
import type { DriverName, TargetDriver } from '../rootdisk/target/driver.js'
import { hasRawDisk } from '../rootdisk/target/tgt/raw-disk.js'
import { TgtClient } from '../rootdisk/target/tgt/tgt-client.js'
import { TgtDriver } from '../rootdisk/target/tgt/tgt-driver.js'
import { TgtWatch } from '../rootdisk/target/tgt/tgt-watch.js'
import type { Service } from '../service.js'
import type { EntryContext } from './entry.js'
import { hostBootId } from './host-boot-id.js'
import { seedDiskOf, seedSources } from './seed-input.js'

/** tgtd as the target, and the service that looks at it. */
export function tgtTarget(
  { config, log }: EntryContext,
  { registry, dirs, intake }: { registry: Registry; dirs: StateDirs; intake: EventIntake },
): { driver: TargetDriver; watch: (onUp: () => Promise<void>) => Service } {
  const sources = seedSources(config, registry)
  const client = new TgtClient(config.target.tgtSocket, systemClock)
  const shared = { client, isOurs: isServerIqn, emit: intake.take.bind(intake) }
  const driver = new TgtDriver({
    ...shared,
    registry,
    dirs,
    bootId: hostBootId(),
    renderSeed: (server) => seedDiskOf(server, sources),
  })
  const hasReached = (iqn: string, stage: Stage): boolean => {
    const server = registry.servers.findByIqn(iqn)
    return server !== undefined && intake.reached(server.id).has(stage)
  }
  const watch = (onUp: () => Promise<void>): Service =>
    new TgtWatch({ ...shared, driver, onUp, hasReached, clock: systemClock, log })
  return { driver, watch }
}

/**
 * What tgtd has served has gone on in raw files, and the layers hold an old state: no other target may serve it.
 * @throws DaemonError CONFIG_INVALID naming a volume of which that is so
 */
export async function refuseOtherTarget(
  driver: DriverName,
  { layersDir }: Pick<StateDirs, 'layersDir'>,
  registry: Registry,
): Promise<void> {
  if (driver === 'tgt') return
  for (const { name, layerId } of registry.volumes.list()) {
    if (!(await hasRawDisk(layersDir, layerId))) continue
    const file = join(layersDir, layerId, 'raw')
    throw new DaemonError(
      'CONFIG_INVALID',
      `target.driver: expected "tgt", since volume ${name} is ${file}, got "${driver}"`,
    )
  }
}
