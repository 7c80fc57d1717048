import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { DaemonError } from '../../errors.js'
import { sendBootFile } from '../boot-file-reply.js'
import type { GrubDesk, KernelFile } from './grub-desk.js'

/** `GET /boot/TOKEN/kernel` and `/initrd`, for a GRUB that has http. */
export function grubRoutes(desk: GrubDesk): (app: FastifyInstance) => void {
  return (app) => {
    for (const file of ['kernel', 'initrd'] as const) {
      app.route({
        method: ['GET', 'HEAD'],
        url: `/boot/:token/${file}`,
        exposeHeadRoute: false, // fastify's own HEAD reads the whole file to count it
        handler: (request, reply) => kernelFile(desk, file, request, reply),
      })
    }
  }
}

async function kernelFile(
  desk: GrubDesk,
  file: KernelFile,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { token } = request.params as { token: string } // the route has this parameter
  const opened = await desk.kernelFile(token, file, { ip: request.ip, by: 'HTTP' })
  if (opened === undefined) throw new DaemonError('NOT_FOUND', 'no server with a kernel has this boot token')
  return sendBootFile(request, reply, opened)
}
