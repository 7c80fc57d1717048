import type { FastifyInstance } from 'fastify'
import { Type, type Static } from 'typebox'
import type { EventBuffer } from './event-buffer.js'
import type { SessionReport } from '../iscsi/portal.js'
import type { CacheReport } from '../volume/golden-cache.js'
import type { NbdShare } from './nbd-shares.js'
import type { ReloadReport } from './reload.js'
import type { MapPart, MergeState } from './volume-work.js'

/** Who is there. */
export interface TargetStatus {
  readonly sessions: readonly SessionReport[]
  /** Ids of volumes that are open, whoever has them. */
  readonly openVolumes: readonly string[]
  readonly cache: CacheReport
}

/** What the control socket acts on, in this process or in its workers. */
export interface TargetControl {
  status(): Promise<TargetStatus>
  reload(): Promise<ReloadReport>
  merge(volumeId: string, layerIds: readonly string[]): Promise<MergeState>
  map(volumeId: string, offset: number): Promise<MapPart>
  beginShare(share: NbdShare): Promise<void>
  /** Whether there was one. */
  endShare(volumeId: string): Promise<boolean>
}

const MergeBody = Type.Object({ layerIds: Type.Array(Type.String(), { minItems: 1 }) })
const NbdBody = Type.Object({ socketPath: Type.String({ minLength: 1 }), isWritable: Type.Boolean() })

interface ById {
  Params: { id: string }
}

/** The routes of the target process's control socket: reload, sessions, events, work on volumes. */
export function targetControlRoutes(
  events: EventBuffer,
  control: TargetControl,
): (app: FastifyInstance) => void {
  return (app) => {
    app.get('/status', () => control.status())
    app.post('/reload', () => control.reload())
    app.get<{ Querystring: { after?: string } }>('/events', async (request) => {
      return { events: await events.after(offsetOf(request.query.after)) }
    })
    app.post<ById & { Body: Static<typeof MergeBody> }>(
      '/volumes/:id/merge',
      { schema: { body: MergeBody } },
      (request) => control.merge(request.params.id, request.body.layerIds),
    )
    app.get<ById & { Querystring: { offset?: string } }>('/volumes/:id/map', (request) =>
      control.map(request.params.id, offsetOf(request.query.offset)),
    )
    app.post<ById & { Body: Static<typeof NbdBody> }>(
      '/volumes/:id/nbd',
      { schema: { body: NbdBody } },
      async (request) => {
        await control.beginShare({ volumeId: request.params.id, ...request.body })
        return {}
      },
    )
    app.delete<ById>('/volumes/:id/nbd', async (request) => {
      return { wasThere: await control.endShare(request.params.id) }
    })
  }
}

function offsetOf(text: string | undefined): number {
  const number = Number(text ?? 0)
  return Number.isSafeInteger(number) && number >= 0 ? number : 0
}
