import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { systemClock } from '../clock.js'
import type { BootCredentials } from '../control/boot-credentials.js'
import type { EmitEvent, Stage } from '../events.js'
import { HttpListener } from '../http/listener.js'
import { BootDesk } from '../netboot/boot-desk.js'
import { bootRoutes, type BootRoutesDeps } from '../netboot/boot-routes.js'
import type { BootTargets } from './boot-target.js'

/** What the boots of servers have to do with the rest of the daemon. */
export interface BootLife {
  readonly emit: EmitEvent
  /** Has it told of every stage that a server reaches. */
  readonly watch: (onStage: (serverId: string, stage: Stage) => void) => void
  readonly credentials: BootCredentials
}

interface BootHttpContext {
  readonly log: Logger
  readonly fd: number | undefined
  readonly targets: BootTargets
  readonly life: BootLife
  /** What else is served there. */
  readonly also: (app: FastifyInstance) => void
}

/** The desk that every way of asking goes to, told of how far servers get. */
export function bootDesk(targets: BootTargets, { emit, watch, credentials }: BootLife): BootDesk {
  const desk = new BootDesk({
    findTarget: (mac) => targets.byMac(mac),
    firmwareAsks: (serverId) => credentials.firmwareAsks(serverId),
    emit,
    clock: systemClock,
  })
  watch((serverId, stage) => desk.onStage(serverId, stage))
  return desk
}

/** The listener for loaders, scripts and reports at the address of `parts.policy`, or on an inherited socket. */
export function bootHttp(
  { log, fd, targets, life, also }: BootHttpContext,
  parts: Pick<BootRoutesDeps, 'desk' | 'policy' | 'templates' | 'files'>,
): HttpListener {
  const { emit, credentials } = life
  const { address: host, httpPort: port } = parts.policy
  const routes = bootRoutes({
    ...parts,
    findByToken: (token) => targets.byToken(token),
    findByInstance: (instanceId) => targets.byInstance(instanceId),
    findByNic: (mac, ip) => targets.byNic(mac, ip),
    firmwareAsks: (serverId) => void credentials.firmwareAsks(serverId),
    scriptAsked: (serverId) => credentials.scriptAsked(serverId),
    emit,
    clock: systemClock,
  })
  return new HttpListener({
    options: { name: 'boot', endpoint: fd === undefined ? { host, port } : { fd } },
    routes: [routes, also],
    log,
  })
}
