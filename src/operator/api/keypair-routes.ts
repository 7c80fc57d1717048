import type { FastifyInstance } from 'fastify'
import type { Keypairs } from '../../control/keypairs.js'
import { DaemonError } from '../../errors.js'
import { NewKeypairBody, type NewKeypairView } from './server-schema.js'
import { keypairView } from './views.js'

/** What the routes of key pairs act through. */
export interface KeypairDeps {
  readonly keypairs: Keypairs
}

interface ById {
  Params: { id: string }
}

/** Key pairs by name; a private key is answered once, where it is made. */
export function keypairRoutes(app: FastifyInstance, { keypairs }: KeypairDeps): void {
  app.get('/keypairs', () => ({ keypairs: keypairs.list().map(keypairView) }))
  app.get<ById>('/keypairs/:id', (request) => keypairView(keypairs.get(request.params.id)))
  const schema = { body: NewKeypairBody }
  app.post<{ Body: NewKeypairBody }>('/keypairs', { schema }, async (request, reply) =>
    reply.code(201).send(await newKeypair(keypairs, request.body)),
  )
  app.delete<ById>('/keypairs/:id', (request, reply) => {
    keypairs.delete(request.params.id)
    return reply.code(204).send()
  })
}

async function newKeypair(keypairs: Keypairs, body: NewKeypairBody): Promise<NewKeypairView> {
  const { name, type, public_key: publicKey } = body
  if (publicKey !== undefined && type !== undefined)
    throw new DaemonError('INVALID_INPUT', 'type, public_key: one of them at most')
  if (publicKey !== undefined) return { ...keypairView(keypairs.import(name, publicKey)), private_key: null }
  const { keypair, privateKey } = await keypairs.create(name, type ?? 'ed25519')
  return { ...keypairView(keypair), private_key: privateKey }
}
