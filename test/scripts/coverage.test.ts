import { expect, test } from 'vitest'
import { appRoutes, coverage, extraRoutes, readEndpoints, type Endpoint } from '../../scripts/coverage.ts'

const endpoint = (method: string, path: string): Endpoint => ({
  api: 'client',
  module: 'Module',
  method,
  path,
  deprecated: false,
})

test('a route serves an endpoint whatever its parameters are called', () => {
  const endpoints = [
    endpoint('GET', '/a/{roomId}/b/{eventId}'),
    endpoint('PUT', '/a/{roomId}'),
    endpoint('GET', '/a'),
  ]
  const routes = [
    { method: 'GET', path: '/a/:room/b/:event{.+}' },
    { method: 'GET', path: '/a/:room' },
  ]
  const [first, second, third] = endpoints
  expect(coverage(endpoints, routes)).toEqual([{ name: 'Module', served: [first], missing: [second, third] }])
  expect(extraRoutes(endpoints, routes)).toEqual([routes[1]])
})

test('an endpoint whose path the server chooses is served where clients are told of it', () => {
  const chosen = endpoint('POST', '{token_endpoint}')
  const [module] = coverage([chosen], appRoutes())
  expect(module?.served).toEqual([chosen])
  const [without] = coverage([chosen], [{ method: 'POST', path: '/token' }])
  expect(without?.missing).toEqual([chosen])
})

test('each endpoint is listed once', () => {
  const keys = readEndpoints().map(({ method, path }) => `${method} ${path}`)
  expect(new Set(keys).size).toBe(keys.length)
  expect(keys.length).toBeGreaterThan(200)
})

// A state key that is empty can be left out, with its slash; the fallback page posts to itself; old servers name the key
// they ask for, and hand joins and leaves over in the first version of these endpoints; clients end the push rules with
// a slash, and older ones name their device when they upload keys; identity servers post what others would put;
// clients of the OAuth 2.0 API may ask its issuer for what /auth_metadata says.
const otherForms = new RegExp(
  [
    '/rooms/:roomId/state/:eventType/?$',
    '/auth/:authType/fallback/web$',
    '/key/v2/server/:keyId$',
    '/federation/v1/send_(join|leave)/:roomId/:eventId$',
    '/pushrules/(global/)?$',
    '/federation/v1/3pid/onbind$',
    '/keys/upload/:deviceId$',
    '^/\\.well-known/(oauth-authorization-server|openid-configuration)$',
  ].join('|'),
)
const extensions =
  /^\/_matrix\/(?:client|federation)\/unstable\/|^\/_matrix\/client\/v4\/sync$|^\/_synapse\/admin\/v1\/(?:register$|send_server_notice)|^\/_hearth\/admin\/v1\//

test('routes outside the list are other forms of endpoints, or known extensions', () => {
  const unknown = extraRoutes(readEndpoints(), appRoutes()).filter(
    ({ path }) => !extensions.test(path) && !otherForms.test(path),
  )
  expect(unknown).toEqual([])
})
