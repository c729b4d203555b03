// Refreshing in every order of a few steps: nobody honest is ever logged out, and no two go on by one token. Specification: client-server
// API, "Refresh token grant"; RFC 9700, section 4.14.2.

import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  logIn,
  newOauthClient,
  type OauthClient,
  signedIn,
  startOauthServer,
  type Tokens,
} from '../support/oauth-client.ts'
import type { TestServer } from '../support/server.ts'
import type { Visitor } from '../support/sso-visitor.ts'

let server: TestServer
let client: OauthClient
let alice: Visitor
beforeAll(async () => {
  server = await startOauthServer()
  await server.register('alice')
  client = await newOauthClient(server)
  alice = await signedIn(server, 'alice')
})
afterAll(() => server.stop())

/** All orders of a number of steps. */
function orders<T>(steps: readonly T[], length: number): T[][] {
  if (length === 0) return [[]]
  return orders(steps, length - 1).flatMap((order) => steps.map((step) => [...order, step]))
}

/** Somebody who has tokens. */
function holder(first: Tokens) {
  let tokens = first
  return {
    /** Whether that worked. `lost`: the answer does not arrive. */
    async refresh(lost = false): Promise<boolean> {
      const { status, body } = await client.refresh(tokens.refresh_token)
      if (status === 200 && !lost) tokens = body as unknown as Tokens
      return status === 200
    },
    async use(): Promise<boolean> {
      const token = tokens.access_token
      return (await server.request('GET', '/_matrix/client/v3/account/whoami', { token })).status === 200
    },
  }
}

it('MSC2964: a client on a bad line goes on, whatever is lost', async () => {
  const owner = holder(await logIn(client, alice, 'BADLINE'))
  const steps = { lost: () => owner.refresh(true), got: () => owner.refresh(), use: () => owner.use() }
  for (const order of orders(['lost', 'got', 'use'] as const, 4)) {
    for (const step of order) expect([order, step, await steps[step]()]).toEqual([order, step, true])
  }
})

it('MSC2964: of a client and a thief one at most goes on, whoever comes first', async () => {
  for (const order of orders(['owner', 'thief'] as const, 4)) {
    const tokens = await logIn(client, alice, 'SHARED')
    const holders = { owner: holder(tokens), thief: holder(tokens) }
    for (const name of order) await holders[name].refresh()
    for (const name of ['thief', 'owner', 'thief'] as const) {
      if (await holders[name].refresh()) await holders[name].use()
    }
    const both = (await holders.owner.use()) && (await holders.thief.use())
    expect([order, both]).toEqual([order, false])
  }
})
