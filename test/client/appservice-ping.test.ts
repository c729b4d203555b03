// POST /appservice/{appserviceId}/ping. Application service API, "Pinging".

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { pingAppservice } from '../../src/appservice/ping.ts'
import { parseRegistration } from '../../src/appservice/registration.ts'
import type { ServerName } from '../../src/matrix/event.ts'
import { startAppservice, type TestAppservice } from '../support/appservice.ts'
import { newClient, refusal } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let bridge: TestAppservice
let other: TestAppservice
let server: TestServer
beforeAll(async () => {
  bridge = await startAppservice('bridge')
  other = await startAppservice('other')
  server = await startServer({
    vars: {
      ...bridge.vars(),
      ...other.vars(),
      APPSERVICE_SILENT: JSON.stringify({
        ...bridge.registration({ id: 'silent', url: null, sender_localpart: 'silent' }),
        as_token: 'silenttoken',
      }),
    },
  })
})
afterEach(() => {
  bridge.reply = () => undefined
})
afterAll(async () => {
  await server.stop()
  await Promise.all([bridge.stop(), other.stop()])
})

const ping = (id: string, token: string | undefined, body = { transaction_id: 'meow' }) =>
  server.request('POST', `/_matrix/client/v1/appservice/${encodeURIComponent(id)}/ping`, {
    ...(token === undefined ? {} : { token }),
    body,
  })

describe('MSC2659: a ping', () => {
  it('reaches the application service with its transaction id, and says how long that took', async () => {
    const { status, body } = await ping('bridge', bridge.asToken)
    expect({ status, body }).toEqual({ status: 200, body: { duration_ms: expect.any(Number) } })
    expect(bridge.requests.at(-1)).toMatchObject({
      method: 'POST',
      path: '/_matrix/app/v1/ping',
      text: '{"transaction_id":"meow"}',
    })
    const plain = await server.request('POST', '/_matrix/client/v1/appservice/bridge/ping', {
      token: bridge.asToken,
      body: {},
    })
    expect(plain.status).toBe(200)
    expect(bridge.requests.at(-1)?.text).toBe('{}')
  })

  it('is refused to everybody else', async () => {
    const alice = await newClient(server, 'alice')
    bridge.requests.length = 0
    expect(await ping('bridge', other.asToken)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await ping('nobody', bridge.asToken)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await ping('bridge', alice.token)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await ping('bridge', bridge.hsToken)).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    expect(await ping('bridge', undefined)).toEqual(refusal(401, 'M_MISSING_TOKEN'))
    expect(bridge.requests).toEqual([])
  })

  it('wants a body that makes sense', async () => {
    const wrong = { transaction_id: 1 } as unknown as { transaction_id: string }
    expect(await ping('bridge', bridge.asToken, wrong)).toEqual(refusal(400, 'M_BAD_JSON'))
  })

  it('fails for one without a URL', async () => {
    expect(await ping('silent', 'silenttoken')).toEqual(refusal(400, 'M_URL_NOT_SET'))
  })

  it('says what is answered in place of success, as far as that is short', async () => {
    bridge.reply = () => ({ status: 403, body: { errcode: 'M_FORBIDDEN' } })
    expect((await ping('bridge', bridge.asToken)).body).toMatchObject({
      errcode: 'M_BAD_STATUS',
      status: 403,
      body: '{"errcode":"M_FORBIDDEN"}',
    })
    bridge.reply = () => ({ status: 500, body: { error: 'e'.repeat(100_000) } })
    const long = await ping('bridge', bridge.asToken)
    expect(long).toEqual(refusal(502, 'M_BAD_STATUS'))
    expect(textOf(long.body, 'body').length).toBe(4096)
  })

  it('fails where there is no connection', async () => {
    bridge.reply = () => 'drop'
    expect(await ping('bridge', bridge.asToken)).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
  })

  it('fails where there is no answer in time', async () => {
    bridge.reply = () => 'hang'
    const text = JSON.stringify(bridge.registration())
    const read = parseRegistration('APPSERVICE_BRIDGE', text, 'test.local' as ServerName)
    await expect(pingAppservice(read, undefined, 50)).rejects.toMatchObject({
      errcode: 'M_CONNECTION_TIMEOUT',
      status: 504,
    })
  })
})
