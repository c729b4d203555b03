// The Worker of the tests of federation's foundation: the guarded one, with two more routes. `probe` is an authenticated
// federation route that answers with what it was told; `__call` makes the server itself send a request.

import { Hono } from 'hono'
import type { LocalEnv } from '../../scripts/local-entry.ts'
import { verifySignedJson } from '../../src/federation/client/key-ring.ts'
import { federationRequest, type JsonCall } from '../../src/federation/client/request.ts'
import { federationRouter } from '../../src/federation/server/router.ts'
import type { AppEnv } from '../../src/http/app-type.ts'
import { renderError } from '../../src/http/render-error.ts'
import type { ServerName } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import guarded from './guarded-entry.ts'
import { guardEnv } from './guard/env.ts'

export * from './guarded-entry.ts'

const app = new Hono<AppEnv>()
app.onError(renderError)
const router = federationRouter(app)
router.put('/_matrix/federation/probe/:id', (c, request) => c.json({ ...request, id: c.req.param('id') }))
router.get('/_matrix/federation/probe/:id', (c, request) => c.json({ ...request, id: c.req.param('id') }))
app.post('/__call', async (c) => c.json(await federationRequest(c.env, await c.req.json<JsonCall>())))
app.post('/__verify', async (c) => {
  const { object, serverName } = await c.req.json<{ object: JsonObject; serverName: ServerName }>()
  return c.json({ signed: await verifySignedJson(c.env, object, serverName) })
})

export default {
  ...guarded,
  async fetch(request: Request, env: LocalEnv, ctx: ExecutionContext): Promise<Response> {
    const { pathname } = new URL(request.url)
    const isOurs =
      pathname.startsWith('/__call') || pathname.startsWith('/__verify') || pathname.includes('/probe/')
    return isOurs ? await app.fetch(request, guardEnv(env), ctx) : await guarded.fetch(request, env, ctx)
  },
}
