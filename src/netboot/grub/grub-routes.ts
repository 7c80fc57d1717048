import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Readable } from 'node:stream'
import { DaemonError } from '../../errors.js'
import type { BootFile } from '../boot-files.js'
import type { GrubDesk, KernelFile } from './grub-desk.js'

const READ_BYTES = 256 << 10

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
  void reply.type('application/octet-stream').header('content-length', opened.sizeBytes)
  if (request.method !== 'HEAD') return reply.send(Readable.from(pieces(opened), { objectMode: false }))
  await opened.close()
  return reply.send(null)
}

async function* pieces(file: BootFile): AsyncGenerator<Uint8Array> {
  try {
    for (let offset = 0; offset < file.sizeBytes; offset += READ_BYTES)
      yield await file.read(offset, READ_BYTES)
  } finally {
    await file.close()
  }
}
