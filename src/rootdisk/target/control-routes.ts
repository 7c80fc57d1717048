import type { FastifyInstance } from 'fastify'
import type { EventBuffer } from './event-buffer.js'

/** What the control socket acts on. */
export interface TargetControl {
  readonly events: EventBuffer
  reload(): unknown
  sessions(): unknown
}

/** The routes of the target process's control socket: reload, sessions, events. */
export function targetControlRoutes(control: TargetControl): (app: FastifyInstance) => void {
  return (app) => {
    app.get('/status', () => ({ sessions: control.sessions() }))
    app.post('/reload', () => control.reload())
    app.get<{ Querystring: { after?: string } }>('/events', async (request) => {
      const after = Number(request.query.after ?? 0)
      return { events: await control.events.after(Number.isSafeInteger(after) ? after : 0) }
    })
  }
}
