import type { FastifyInstance } from 'fastify'
import type { Images } from '../../control/images.js'
import { FixBody, InspectBody, type InspectionView } from './inspection-schema.js'
import { imageView, jobView } from './views.js'

/** What a disk holds, whether it boots, and images with what they lacked. */
export function inspectionRoutes(app: FastifyInstance, { images }: { readonly images: Images }): void {
  app.post<{ Body: InspectBody }>('/images/inspect', { schema: { body: InspectBody } }, (request) => {
    return images.inspections.inspectFile(request.body.path) satisfies Promise<InspectionView>
  })
  app.post<{ Params: { id: string } }>('/images/:id/inspect', (request) => {
    return images.inspections.inspect(request.params.id) satisfies Promise<InspectionView>
  })
  const fix = { schema: { body: FixBody } }
  app.post<{ Params: { id: string }; Body: FixBody }>('/images/:id/fix', fix, (request, reply) => {
    const { name, apply: rules } = request.body
    const { image, job } = images.startFix(request.params.id, { name, rules })
    return reply.code(202).send({ image: imageView(image), job: jobView(job) })
  })
}
