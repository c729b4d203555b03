// Versions, capabilities and well-known documents over HTTP.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { appRoutes } from '../../scripts/coverage.ts'
import { roomVersionIds, unstableRoomVersionIds } from '../../src/matrix/room-version.ts'
import { startServer, type TestServer } from '../support/server.ts'

describe('a server without public address', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer({ vars: { DEFAULT_ROOM_VERSION: '11' } })
  })
  afterAll(() => server.stop())

  it('names the versions it speaks', async () => {
    const { status, body } = await server.request('GET', '/_matrix/client/versions')
    expect(status).toBe(200)
    expect(body.versions).toEqual(expect.arrayContaining(['v1.1', 'v1.11', 'v1.19']))
    expect(Object.values(body.unstable_features ?? {}).every((value) => typeof value === 'boolean')).toBe(
      true,
    )
  })

  it('tells its users what it can', async () => {
    const path = '/_matrix/client/v3/capabilities'
    expect((await server.request('GET', path)).status).toBe(401)
    const { token } = await server.register('alice')
    const { body } = await server.request('GET', path, { token })
    expect(body).toMatchObject({
      capabilities: {
        'm.change_password': { enabled: true },
        'm.room_versions': {
          default: '11',
          available: Object.fromEntries([
            ...roomVersionIds.map((id) => [id, 'stable']),
            ...unstableRoomVersionIds.map((id) => [id, 'unstable']),
          ]),
        },
        'm.3pid_changes': { enabled: false },
      },
    })
  })

  it('MSC4138: lets web pages use all methods that it serves', async () => {
    const preflight = await server.fetch('/_matrix/client/v3/account/whoami', {
      method: 'OPTIONS',
      headers: { Origin: 'https://app.example', 'Access-Control-Request-Method': 'DELETE' },
    })
    expect(preflight.status).toBe(204)
    expect(preflight.headers.get('Access-Control-Allow-Origin')).toBe('*')
    const allowed = (preflight.headers.get('Access-Control-Allow-Methods') ?? '').split(',')
    expect(allowed.map((method) => method.trim())).toEqual(
      expect.arrayContaining([...new Set(appRoutes().map(({ method }) => method)), 'OPTIONS']),
    )
    expect(preflight.headers.get('Access-Control-Allow-Headers')).toMatch(/Authorization/)
  })

  it('sends clients to where they asked, and other servers nowhere', async () => {
    const client = await server.request('GET', '/.well-known/matrix/client')
    expect(client.body).toEqual({ 'm.homeserver': { base_url: server.url } })
    expect(client.headers.get('Access-Control-Allow-Origin')).toBe('*')
    expect((await server.request('GET', '/.well-known/matrix/server')).status).toBe(404)
    expect((await server.request('GET', '/.well-known/matrix/support')).status).toBe(404)
  })

  it('answers unknown paths and methods as unrecognized', async () => {
    const path = await server.request('GET', '/_matrix/client/v3/unknown')
    expect([path.status, path.body.errcode]).toEqual([404, 'M_UNRECOGNIZED'])
    const method = await server.request('PUT', '/_matrix/client/v3/login')
    expect([method.status, method.body.errcode]).toEqual([405, 'M_UNRECOGNIZED'])
  })
})

describe('a server with a public address', () => {
  let server: TestServer
  beforeAll(async () => {
    const vars = {
      PUBLIC_BASE_URL: 'https://matrix.example.org',
      SUPPORT_USER: '@admin:example.org',
      SUPPORT_PAGE: 'https://example.org/help',
    }
    server = await startServer({ vars })
  })
  afterAll(() => server.stop())

  it('publishes it, and whom to ask for help', async () => {
    const client = await server.request('GET', '/.well-known/matrix/client')
    expect(client.body).toEqual({ 'm.homeserver': { base_url: 'https://matrix.example.org' } })
    const federation = await server.request('GET', '/.well-known/matrix/server')
    expect(federation.body).toEqual({ 'm.server': 'matrix.example.org:443' })
    const support = await server.request('GET', '/.well-known/matrix/support')
    expect(support.body).toEqual({
      contacts: [{ matrix_id: '@admin:example.org', role: 'm.role.admin' }],
      support_page: 'https://example.org/help',
    })
  })
})
