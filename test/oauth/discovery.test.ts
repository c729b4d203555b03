// How clients find the OAuth 2.0 API, and that it is not there where it is off. Specification: client-server API, "Server metadata
// discovery"; RFC 8414.

import * as oauth from 'oauth4webapi'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { appRoutes } from '../../scripts/coverage.ts'
import { oauthPath, startOauthServer } from '../support/oauth-client.ts'
import { refusal } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
beforeAll(async () => {
  server = await startOauthServer()
})
afterAll(() => server.stop())

it('MSC2965: anybody is told where the endpoints are, and caches may keep it', async () => {
  const { status, headers, body } = await server.request('GET', '/_matrix/client/v1/auth_metadata')
  expect([status, headers.get('Cache-Control')]).toEqual([200, 'public, max-age=3600'])
  const at = (page: string) => `${server.url}${oauthPath}/${page}`
  expect(body).toEqual({
    issuer: `${server.url}/`,
    authorization_endpoint: at('authorize'),
    token_endpoint: at('token'),
    revocation_endpoint: at('revoke'),
    registration_endpoint: at('register-client'),
    device_authorization_endpoint: at('device-authorization'),
    response_types_supported: ['code'],
    response_modes_supported: ['query', 'fragment'],
    grant_types_supported: [
      'authorization_code',
      'refresh_token',
      'urn:ietf:params:oauth:grant-type:device_code',
    ],
    code_challenge_methods_supported: ['S256'],
    token_endpoint_auth_methods_supported: ['none'],
    revocation_endpoint_auth_methods_supported: ['none'],
    authorization_response_iss_parameter_supported: true,
    prompt_values_supported: ['create'],
    account_management_uri: at('account'),
    account_management_actions_supported: [
      'org.matrix.profile',
      'org.matrix.devices_list',
      'org.matrix.device_view',
      'org.matrix.device_delete',
      'org.matrix.account_deactivate',
      'org.matrix.cross_signing_reset',
    ],
  })
})

it('MSC2965: also by the names it had at first', async () => {
  const { body } = await server.request('GET', '/_matrix/client/v1/auth_metadata')
  const unstable = '/_matrix/client/unstable/org.matrix.msc2965'
  expect((await server.request('GET', `${unstable}/auth_metadata`)).body).toEqual(body)
  expect((await server.request('GET', `${unstable}/auth_issuer`)).body).toEqual({ issuer: `${server.url}/` })
})

it.each(['oauth2', 'oidc'] as const)('a client of %s finds it from the issuer', async (algorithm) => {
  const issuer = new URL(server.url)
  const found = await oauth.discoveryRequest(issuer, { algorithm, [oauth.allowInsecureRequests]: true })
  const as = await oauth.processDiscoveryResponse(issuer, found)
  expect(as.token_endpoint).toBe(`${server.url}${oauthPath}/token`)
})

it('says that accounts can be created only where they can', async () => {
  const closed = await startOauthServer({ REGISTRATION: 'closed' })
  const { body } = await closed.request('GET', '/_matrix/client/v1/auth_metadata')
  expect(body['prompt_values_supported']).toBeUndefined()
  await closed.stop()
})

describe('where it is off', () => {
  let off: TestServer
  beforeAll(async () => {
    off = await startServer()
  })
  afterAll(() => off.stop())

  const routes = appRoutes().filter(({ path }) =>
    /hearth\/oauth|auth_metadata|auth_issuer|oauth-authorization-server|openid-configuration/.test(path),
  )

  it('is of some size', () => {
    expect(routes.length).toBeGreaterThan(15)
  })

  it.each(routes.map(({ method, path }) => [method, path]))('there is no %s %s', async (method, path) => {
    expect(await off.request(method, path)).toEqual(refusal(404, 'M_UNRECOGNIZED'))
  })
})

it.each([
  ['nothing', {}],
  ['http', { PUBLIC_BASE_URL: 'http://matrix.example.org' }],
  ['a query', { PUBLIC_BASE_URL: 'https://matrix.example.org/?a' }],
])('does not start with %s for its address', async (_, vars) => {
  await expect(startServer({ vars: { OAUTH: 'on', ...vars } })).rejects.toThrow()
})
