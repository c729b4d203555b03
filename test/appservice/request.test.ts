// Requests to application services. Application service API, "Authorisation", "Legacy routes".

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { knownForms, legacyPath } from '../../src/appservice/legacy-routes.ts'
import { type Appservice, parseRegistration } from '../../src/appservice/registration.ts'
import { appserviceRequest } from '../../src/appservice/request.ts'
import type { ServerName } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { unwatchedFetch } from '../contract/watch-fetch.ts'
import { startAppservice, type TestAppservice } from '../support/appservice.ts'

const transaction = {
  method: 'PUT',
  path: '/_matrix/app/v1/transactions/1',
  body: '{"events":[]}',
  timeoutMs: 5_000,
} as const
const user = { method: 'GET', path: '/_matrix/app/v1/users/%40a%3Ab', timeoutMs: 5_000 } as const

function read(bridge: TestAppservice, fields: JsonObject = {}): Appservice {
  const text = JSON.stringify(bridge.registration(fields))
  return parseRegistration('APPSERVICE_BRIDGE', text, 'test.local' as ServerName)
}

describe('a request to an application service', () => {
  let bridge: TestAppservice
  beforeAll(async () => {
    // What application services answer here is no answer of ours.
    vi.stubGlobal('fetch', unwatchedFetch)
    bridge = await startAppservice()
  })
  beforeEach(() => {
    bridge.requests.length = 0
  })
  afterEach(() => {
    bridge.reply = () => undefined
  })
  afterAll(async () => {
    await bridge.stop()
    vi.unstubAllGlobals()
  })
  const paths = () => bridge.requests.map(({ path }) => path)

  it('has the token in its header, and nowhere else', async () => {
    expect(await appserviceRequest(read(bridge), transaction)).toEqual({ status: 200, text: '{}' })
    expect(bridge.requests).toMatchObject([
      { method: 'PUT', query: {}, text: '{"events":[]}', headers: { 'content-type': 'application/json' } },
    ])
  })

  it('goes to the older path after a status that is no success, with the token in the address too', async () => {
    bridge.reply = ({ path }) => ({ status: path.startsWith('/_matrix') ? 404 : 200 })
    const appservice = read(bridge)
    expect((await appserviceRequest(appservice, user)).status).toBe(200)
    expect(paths()).toEqual(['/_matrix/app/v1/users/@a:b', '/users/@a:b'])
    expect(bridge.requests.map(({ query }) => query)).toEqual([{}, { access_token: bridge.hsToken }])
    // From then on there first.
    expect((await appserviceRequest(appservice, transaction)).status).toBe(200)
    expect(paths().slice(2)).toEqual(['/transactions/1'])
    // It was updated.
    bridge.reply = ({ path }) => ({ status: path.startsWith('/_matrix') ? 200 : 404 })
    expect((await appserviceRequest(appservice, transaction)).status).toBe(200)
    expect(paths().slice(3)).toEqual(['/transactions/1', '/_matrix/app/v1/transactions/1'])
  })

  it('stays with the newer path where that has worked', async () => {
    const appservice = read(bridge)
    await appserviceRequest(appservice, transaction)
    bridge.reply = () => ({ status: 500 })
    expect((await appserviceRequest(appservice, transaction)).status).toBe(500)
    expect(paths()).toEqual(['/_matrix/app/v1/transactions/1', '/_matrix/app/v1/transactions/1'])
  })

  it('is answered as the newer path answers where neither works', async () => {
    bridge.reply = ({ path }) => ({ status: path.startsWith('/_matrix') ? 403 : 404 })
    expect((await appserviceRequest(read(bridge), user)).status).toBe(403)
  })

  it('has no older path for pings', async () => {
    bridge.reply = () => ({ status: 404 })
    const ping = { method: 'POST', path: '/_matrix/app/v1/ping', body: '{}', timeoutMs: 5_000 } as const
    expect((await appserviceRequest(read(bridge), ping)).status).toBe(404)
    expect(paths()).toEqual(['/_matrix/app/v1/ping'])
  })

  it('goes below the path of the URL', async () => {
    const query = new URLSearchParams({ alias: '#a:b' })
    const call = {
      method: 'GET',
      path: '/_matrix/app/v1/thirdparty/location',
      query,
      timeoutMs: 5_000,
    } as const
    await appserviceRequest(read(bridge, { url: `${bridge.url}/below/` }), call)
    expect(paths()).toEqual([
      '/below/_matrix/app/v1/thirdparty/location',
      '/below/_matrix/app/unstable/thirdparty/location',
    ])
    expect(bridge.requests[0]?.query).toEqual({ alias: '#a:b' })
  })

  it('fails where there is no URL, no connection, no answer in time, and too long an answer', async () => {
    const refused = (fields: JsonObject, timeoutMs = 5_000) =>
      appserviceRequest(read(bridge, fields), { ...transaction, timeoutMs }).catch((error: unknown) => error)
    expect(await refused({ url: null })).toMatchObject({ errcode: 'M_URL_NOT_SET', status: 400 })
    expect(await refused({ url: 'http://127.0.0.1:1' })).toMatchObject({ errcode: 'M_CONNECTION_FAILED' })
    bridge.reply = () => 'drop'
    expect(await refused({})).toMatchObject({ errcode: 'M_CONNECTION_FAILED', status: 502 })
    bridge.reply = () => ({ status: 200, body: { long: 'a'.repeat(1024 * 1024) } })
    expect(await refused({})).toMatchObject({ errcode: 'M_CONNECTION_FAILED', status: 502 })
    bridge.reply = () => 'hang'
    const late = await refused({}, 50)
    expect(late).toMatchObject({ errcode: 'M_CONNECTION_TIMEOUT', status: 504 })
    expect(String(late)).not.toContain(bridge.hsToken)
  })
})

describe('older paths', () => {
  it.each([
    ['/transactions/1', '/transactions/1'],
    ['/users/%40a', '/users/%40a'],
    ['/rooms/%23a', '/rooms/%23a'],
    ['/thirdparty/protocol/irc', '/_matrix/app/unstable/thirdparty/protocol/irc'],
    ['/thirdparty/user', '/_matrix/app/unstable/thirdparty/user'],
    ['/ping', undefined],
  ])('of %s', (path, older) => {
    expect(legacyPath(`/_matrix/app/v1${path}`)).toBe(older)
  })

  it('are forgotten after an hour, so that the newer ones are tried again', () => {
    let now = 0
    const forms = knownForms<object>(() => now)
    const one = {}
    forms.succeeded(one, 'legacy')
    now = 59 * 60_000
    forms.succeeded(one, 'legacy')
    expect(forms.formOf(one)).toBe('legacy')
    now = 60 * 60_000
    expect(forms.formOf(one)).toBeUndefined()
    forms.succeeded(one, 'versioned')
    forms.succeeded(one, 'legacy')
    expect(forms.formOf(one)).toBe('legacy')
  })
})
