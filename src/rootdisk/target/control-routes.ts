import type { FastifyInstance } from 'fastify'
import { Type, type Static } from 'typebox'
import type { EventBuffer } from './event-buffer.js'
import type { NbdShares } from './nbd-shares.js'
import type { VolumeWork } from './volume-work.js'

/** What the control socket acts on. */
export interface TargetControl {
  readonly events: EventBuffer
  readonly work: Pick<VolumeWork, 'merge' | 'map'>
  readonly shares: Pick<NbdShares, 'begin' | 'end'>
  reload(): unknown
  sessions(): unknown
  /** Ids of volumes that are open, whoever has them. */
  openVolumes(): readonly string[]
}

const MergeBody = Type.Object({ layerIds: Type.Array(Type.String(), { minItems: 1 }) })
const NbdBody = Type.Object({ socketPath: Type.String({ minLength: 1 }), isWritable: Type.Boolean() })

interface ById {
  Params: { id: string }
}

/** The routes of the target process's control socket: reload, sessions, events, work on volumes. */
export function targetControlRoutes(control: TargetControl): (app: FastifyInstance) => void {
  return (app) => {
    app.get('/status', () => ({ sessions: control.sessions(), openVolumes: control.openVolumes() }))
    app.post('/reload', () => control.reload())
    app.get<{ Querystring: { after?: string } }>('/events', async (request) => {
      return { events: await control.events.after(offsetOf(request.query.after)) }
    })
    app.post<ById & { Body: Static<typeof MergeBody> }>(
      '/volumes/:id/merge',
      { schema: { body: MergeBody } },
      (request) => control.work.merge(request.params.id, request.body.layerIds),
    )
    app.get<ById & { Querystring: { offset?: string } }>('/volumes/:id/map', (request) =>
      control.work.map(request.params.id, offsetOf(request.query.offset)),
    )
    app.post<ById & { Body: Static<typeof NbdBody> }>(
      '/volumes/:id/nbd',
      { schema: { body: NbdBody } },
      async (request) => {
        await control.shares.begin({ volumeId: request.params.id, ...request.body })
        return {}
      },
    )
    app.delete<ById>('/volumes/:id/nbd', async (request) => {
      return { wasThere: await control.shares.end(request.params.id) }
    })
  }
}

function offsetOf(text: string | undefined): number {
  const number = Number(text ?? 0)
  return Number.isSafeInteger(number) && number >= 0 ? number : 0
}
