// Clients that others have written log in: matrix-js-sdk, and a library that follows the RFCs to the letter.

import { createClient, OAuth2 } from 'matrix-js-sdk'
import { keepSdkLog } from '../clients/sdk-log.ts'
import * as oauth from 'oauth4webapi'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import {
  agree,
  newOauthClient,
  type OauthClient,
  signedIn,
  startOauthServer,
  submitTo,
  webClient,
} from '../support/oauth-client.ts'
import type { TestServer } from '../support/server.ts'
import type { Visitor } from '../support/sso-visitor.ts'

let server: TestServer
let alice: Visitor
let known: OauthClient
beforeAll(async () => {
  keepSdkLog()
  server = await startOauthServer()
  await server.register('alice')
  known = await newOauthClient(server)
})
afterAll(() => server.stop())
// To revoke a token is to sign out.
beforeEach(async () => {
  alice = await signedIn(server, 'alice')
})

const pathOf = (url: string) => url.replace(server.url, '')

it('MSC3861: matrix-js-sdk registers, logs in, refreshes and revokes', async () => {
  const metadata = await createClient({ baseUrl: server.url }).getAuthMetadata()
  const clientId = await OAuth2.registerClient(metadata, {
    ...webClient,
    redirect_uris: ['https://client.test/callback'],
    application_type: 'web',
  })
  const login = new OAuth2(metadata, { clientId, deviceId: 'SDKDEVICE1' })
  const url = await login.generateAuthorizationCodeGrantUrl('state', 'https://client.test/callback')
  const answer = await agree(alice, pathOf(url))
  const tokens = await login.completeAuthorizationCodeGrant(
    answer.get('code') ?? '',
    'https://client.test/callback',
  )
  const user = createClient({ baseUrl: server.url, accessToken: tokens.access_token })
  expect(await user.whoami()).toMatchObject({ user_id: '@alice:test.local', device_id: 'SDKDEVICE1' })
  const next = await login.performRefreshTokenGrant(tokens.refresh_token ?? '')
  await login.revokeToken(next.refresh_token ?? '', 'refresh_token')
  await expect(login.performRefreshTokenGrant(next.refresh_token ?? '')).rejects.toThrow()
  await expect(user.whoami()).rejects.toMatchObject({ errcode: 'M_UNKNOWN_TOKEN' })
})

it('MSC4341: matrix-js-sdk logs in without a browser', async () => {
  const metadata = await createClient({ baseUrl: server.url }).getAuthMetadata()
  const clientId = await OAuth2.registerClient(metadata, {
    client_uri: 'https://client.test/',
    redirect_uris: ['http://localhost/'],
    application_type: 'native',
  })
  const login = new OAuth2(metadata, { clientId, deviceId: 'SDKDEVICE2' })
  const begun = await login.startDeviceAuthorizationGrant()
  const page = await alice.open(pathOf(begun.verification_uri_complete ?? ''))
  await submitTo(alice, page, 'link', { decision: 'allow' })
  const tokens = await login.waitForDeviceAuthorizationGrant(begun)
  if (!('access_token' in tokens)) throw new Error(JSON.stringify(tokens))
  const user = createClient({ baseUrl: server.url, accessToken: tokens.access_token })
  expect((await user.whoami()).device_id).toBe('SDKDEVICE2')
})

it('oauth4webapi finds nothing amiss, and refuses an answer of another issuer', async () => {
  const issuer = new URL(server.url)
  const insecure = { [oauth.allowInsecureRequests]: true } as const
  const found = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
  const as = await oauth.processDiscoveryResponse(issuer, found)
  const client: oauth.Client = { client_id: known.clientId }
  const request = known.request('STRICT')
  const answer = await agree(alice, request.path)
  const parameters = oauth.validateAuthResponse(as, client, answer, 'state of STRICT')
  const response = await oauth.authorizationCodeGrantRequest(
    as,
    client,
    oauth.None(),
    parameters,
    request.redirectUri,
    request.verifier,
    insecure,
  )
  const tokens = await oauth.processAuthorizationCodeResponse(as, client, response)
  const refreshed = await oauth.refreshTokenGrantRequest(
    as,
    client,
    oauth.None(),
    tokens.refresh_token ?? '',
    insecure,
  )
  const next = await oauth.processRefreshTokenResponse(as, client, refreshed)
  const revoked = await oauth.revocationRequest(as, client, oauth.None(), next.access_token, insecure)
  await oauth.processRevocationResponse(revoked)
  // RFC 9207: without `iss` another server could have its answers taken for ours.
  answer.set('iss', 'https://evil.test/')
  expect(() => oauth.validateAuthResponse(as, client, answer, 'state of STRICT')).toThrow('iss')
  answer.delete('iss')
  expect(() => oauth.validateAuthResponse(as, client, answer, 'state of STRICT')).toThrow('iss')
})
