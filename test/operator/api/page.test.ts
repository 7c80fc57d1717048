import { readFileSync } from 'node:fs'
import fastify from 'fastify'
import t from 'tap'
import { apiRoutes, type ApiDeps } from '../../../src/operator/api/routes.js'

void t.test('docs/api.md names every route of the API and no other', async (t) => {
  const app = fastify()
  const routes: string[] = []
  app.addHook('onRoute', ({ method, url }) => {
    for (const each of [method].flat()) if (each !== 'HEAD') routes.push(`${each} ${url}`)
  })
  apiRoutes({} as ApiDeps)(app) // mounting touches none of them
  await app.close()
  const page = readFileSync('docs/api.md', 'utf8')
  const named = [...page.matchAll(/`((?:GET|POST|PATCH|DELETE) \/[^`]+)`/g)].map(([, route = '']) => route)
  t.same(named.toSorted(), routes.toSorted())
})
