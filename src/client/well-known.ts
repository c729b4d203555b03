// Where clients and servers find this server, for deployments where its name is also its web host.
// Specification: client-server API, "Well-known URIs"; server-server API, "Resolving server names".

import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import type { JsonObject } from '../matrix/json.ts'

/** GET /.well-known/matrix/client, /server and /support. */
export function wellKnownRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#getwell-knownmatrixclient
  app.get('/.well-known/matrix/client', (c) => c.json({ 'm.homeserver': { base_url: baseUrl(c) } }))

  // https://spec.matrix.org/v1.19/server-server-api/#getwell-knownmatrixserver
  app.get('/.well-known/matrix/server', (c) => {
    const { protocol, hostname, port } = new URL(baseUrl(c))
    // Servers talk TLS alone: where this is plain HTTP there is nothing to point to.
    if (protocol !== 'https:') throw notAvailable()
    return c.json({ 'm.server': `${hostname}:${port === '' ? '443' : port}` })
  })

  // https://spec.matrix.org/v1.19/client-server-api/#getwell-knownmatrixsupport
  app.get('/.well-known/matrix/support', (c) => {
    const support = supportDocument(c.env)
    if (!support) throw notAvailable()
    return c.json(support)
  })
}

function baseUrl(c: AppContext): string {
  return c.env.PUBLIC_BASE_URL ?? new URL(c.req.url).origin
}

function supportDocument(env: Env): JsonObject | undefined {
  const contact: JsonObject = {
    ...(env.SUPPORT_USER === undefined ? {} : { matrix_id: env.SUPPORT_USER }),
    ...(env.SUPPORT_EMAIL === undefined ? {} : { email_address: env.SUPPORT_EMAIL }),
  }
  const contacts = Object.keys(contact).length === 0 ? [] : [{ ...contact, role: 'm.role.admin' }]
  const page: JsonObject = env.SUPPORT_PAGE === undefined ? {} : { support_page: env.SUPPORT_PAGE }
  // One of the two must be there.
  if (contacts.length === 0 && env.SUPPORT_PAGE === undefined) return undefined
  return { ...(contacts.length === 0 ? {} : { contacts }), ...page }
}

function notAvailable(): MatrixError {
  return new MatrixError('M_NOT_FOUND', 404, 'Not available on this server')
}
