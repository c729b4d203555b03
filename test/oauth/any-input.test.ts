// Whatever is sent to the endpoints and pages of the OAuth 2.0 API: a page, or an error of theirs, never a 500.

import * as fc from 'fast-check'
import { afterAll, beforeAll, it } from 'vitest'
import { appRoutes } from '../../scripts/coverage.ts'
import { unwatchedFetch } from '../contract/watch-fetch.ts'
import { fault } from '../http/any-input/probe.ts'
import { mailbox, mailVars } from '../support/mailbox.ts'
import {
  formOf,
  nativeClient,
  newOauthClient,
  oauthPath,
  type OauthClient,
  signedIn,
  startOauthServer,
} from '../support/oauth-client.ts'
import type { TestServer } from '../support/server.ts'
import { newVisitor, type Visitor } from '../support/sso-visitor.ts'

const routes = appRoutes().filter(({ path }) => path.startsWith(oauthPath))
const names =
  `grant_type code redirect_uri client_id code_verifier refresh_token device_code token token_type_hint scope state response_type
  response_mode code_challenge code_challenge_method prompt form next user password request decision user_code device_id action erase
  session stage username loginToken redirectUrl displayname email sid address new_password again`
    .trim()
    .split(/\s+/)

let server: TestServer
let client: OauthClient
let alice: Visitor
let known: string[] = []
beforeAll(async () => {
  server = await startOauthServer({ MAIL_FROM: mailVars.MAIL_FROM }, { mail: mailbox().handler })
  await server.register('alice')
  client = await newOauthClient(server, nativeClient)
  alice = await signedIn(server, 'alice')
  const { path, verifier } = client.request('DEVICE')
  const pages = [await alice.open(path), await alice.open(`${oauthPath}/account`)]
  known = [
    ...new URL(path, server.url).searchParams.values(),
    ...Object.values(
      formOf(pages[0] ?? { text: '', status: 0, location: null, headers: new Headers() }, 'consent').fields,
    ),
    ...(await Promise.all(accountForms.map(tokenOf))),
    verifier,
    client.clientId,
    ...nativeClient.grant_types,
    'account',
    'authorize?',
    'link?user_code=BBBB',
    'login?redirectUrl=https%3A%2F%2Fevil.test%2F',
    'https://evil.test/',
    'org.matrix.profile',
    'hearth.password',
    'allow',
    'deny',
    'alice',
    'create',
    'none',
    'org.matrix.device_view',
    '\u0000',
    '\ud800',
    '%',
    '%00',
    'a b',
    '"',
    '<b>',
    'x'.repeat(5000),
    '[]',
    '-1',
    '',
  ]
})
afterAll(() => server.stop())

const accountForms: [string, string][] = [
  ['org.matrix.profile', 'profile'],
  ['org.matrix.profile', 'confirm-address'],
  ['hearth.password', 'password'],
  ['org.matrix.account_deactivate', 'deactivate'],
  ['org.matrix.cross_signing_reset', 'reset-cross-signing'],
]
/** What makes a form of the account page count. */
async function tokenOf([action, form]: [string, string]): Promise<string> {
  const page = await alice.open(`${oauthPath}/account?action=${action}`)
  return formOf(page, `account/${form}`).fields['form'] ?? ''
}

for (const { method, path } of routes) {
  it(`${method} ${path} answers whatever comes`, async () => {
    const value = fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...known) },
      { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
    )
    const fields = fc.array(fc.tuple(fc.constantFrom(...names), value), { maxLength: 14 })
    await fc.assert(
      fc.asyncProperty(fields, fc.boolean(), async (given, isSignedIn) => {
        const search = new URLSearchParams(given.map(([name, text]) => [name, text.toWellFormed()]))
        const visitor = isSignedIn ? alice : newVisitor(server.url)
        const cookie = [...visitor.cookies].map(([name, { value: text }]) => `${name}=${text}`).join('; ')
        const query = method === 'GET' ? `?${search.toString().slice(0, 6000)}` : ''
        const response = await unwatchedFetch(`${server.url}${path}${query}`, {
          method,
          redirect: 'manual',
          headers: { Cookie: cookie },
          ...(method === 'GET' ? {} : { body: search }),
        })
        const type = response.headers.get('Content-Type') ?? ''
        const wrong = fault({ status: response.status, type, text: await response.text() })
        if (wrong !== undefined) throw new Error(`${wrong}: ${response.status} ${search.toString()}`)
        const location = response.headers.get('Location')
        // To the client that has registered, or to this server: nowhere else.
        const isOwn =
          location === null ||
          /^(test\.client\.app:\/callback|http:\/\/127\.0\.0\.1[:/]|http:\/\/\[::1\])/.test(location)
        if (!isOwn) throw new Error(`leads to ${location}`)
      }),
      { numRuns: 40, endOnFailure: true },
    )
  })
}
