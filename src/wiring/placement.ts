import type { Registry } from '../registry/registry.js'
import { changeableLayers } from '../control/volumes.js'
import { Placement } from '../rootdisk/target/workers/placement.js'

/** Which of the workers should have which server, as the registry is now. */
export function readPlacement(registry: Registry, workers: number): Placement {
  const servers = registry.servers.list().map(({ id, iqn, createdMs, volumeId }) => {
    const data = registry.attachments.listByServer(id).map((attachment) => attachment.volumeId)
    return { id, iqn, createdMs, volumeIds: [volumeId, ...data] }
  })
  const volumes = registry.volumes.list().map(({ id, layerId }) => {
    return { id, layerIds: changeableLayers(registry, layerId) }
  })
  return new Placement(workers, servers, volumes)
}
