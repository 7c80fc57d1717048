import type { BootRoutesDeps } from '../../src/netboot/boot-routes.js'
import { bootTarget } from './boot-target.js'

/** What the boot routes ask of the rest of the daemon: one server, whose boot has the token `token`. */
export const IDLE_BOOTS: Pick<
  BootRoutesDeps,
  'findByToken' | 'findByInstance' | 'findByNic' | 'firmwareAsks' | 'scriptAsked' | 'desk'
> = {
  findByToken: (token) => (token === 'token' ? bootTarget() : undefined),
  findByInstance: () => undefined,
  findByNic: () => undefined,
  firmwareAsks: () => undefined,
  scriptAsked: () => undefined,
  desk: { maySendScript: () => true, onStage: () => undefined },
}
