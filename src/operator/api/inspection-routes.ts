import type { FastifyInstance } from 'fastify'
import type { Images } from '../../control/images.js'
import { InspectBody, type InspectionView } from './inspection-schema.js'

/** `/images/.../inspect`: what a disk holds, and whether it boots. */
export function inspectionRoutes(app: FastifyInstance, { images }: { readonly images: Images }): void {
  app.post<{ Body: InspectBody }>('/images/inspect', { schema: { body: InspectBody } }, (request) => {
    return images.inspections.inspectFile(request.body.path) satisfies Promise<InspectionView>
  })
  app.post<{ Params: { id: string } }>('/images/:id/inspect', (request) => {
    return images.inspections.inspect(request.params.id) satisfies Promise<InspectionView>
  })
}
