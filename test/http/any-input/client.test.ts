// Whatever a client sends to whatever route: an answer of the specification, never a 500, never silence.

import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { appRoutes } from '../../../scripts/coverage.ts'
import type { JsonValue } from '../../../src/matrix/json.ts'
import { startAppservice, type TestAppservice } from '../../support/appservice.ts'
import { unwatchedFetch } from '../../contract/watch-fetch.ts'
import { clientId, type FakeProvider, startFakeProvider } from '../../support/fake-openid-provider.ts'
import { newClient } from '../../support/room-client.ts'
import { mailbox, mailVars } from '../../support/mailbox.ts'
import { startServer, testServerName, type TestServer } from '../../support/server.ts'
import { textOf } from '../../support/text-of.ts'
import { type Probe, probe, type Reply, runs } from './probe.ts'
import type { World } from './values.ts'

const routes = appRoutes().filter(({ path }) => !path.startsWith('/_matrix/federation/'))

let server: TestServer
let provider: FakeProvider
let bridge: TestAppservice
let people = 0
beforeAll(async () => {
  provider = await startFakeProvider()
  const { issuer } = provider
  bridge = await startAppservice()
  // What it says of networks is half of the time nothing that makes sense.
  const odd: JsonValue[] = [[], {}, [null], [{ alias: 1 }], 'text', { instances: [{}] }]
  let answers = 0
  bridge.reply = ({ path }) =>
    path.includes('/thirdparty/')
      ? { status: 200, body: odd[(answers += 1) % odd.length] ?? null }
      : undefined
  server = await startServer({
    mail: mailbox().handler,
    vars: {
      ...mailVars,
      ...bridge.vars({ protocols: ['irc'], namespaces: { users: [{ exclusive: false, regex: '@alice' }] } }),
      REGISTRATION_SHARED_SECRET: 'secret',
      OAUTH: 'on',
      SSO_PROVIDERS: JSON.stringify([{ id: 'fake', name: 'Fake', issuer, client_id: clientId }]),
    },
  })
})
afterAll(async () => {
  await server.stop()
  await provider.stop()
  await bridge.stop()
})

interface Asker {
  readonly world: World
  readonly token: string
}

let current: Asker | undefined

/** An administrator with a room: new ones where a route before has ended the session or the membership. */
async function asker(): Promise<Asker> {
  if (current) {
    const { roomId, eventId } = current.world
    const uri = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/event/${encodeURIComponent(eventId)}`
    if ((await ask({ method: 'GET', uri }, current.token)).status === 200) return current
  }
  current = await newAsker()
  return current
}

async function newAsker(): Promise<Asker> {
  people += 1
  const alice = await newClient(server, `alice${people}`)
  const bob = await newClient(server, `bob${people}`)
  const db = await server.mf.getD1Database('DB')
  await db.prepare('UPDATE users SET admin = 1 WHERE user_id = ?').bind(alice.userId).run()
  const roomId = await alice.createRoom({ preset: 'public_chat', room_alias_name: `room${people}` })
  await bob.join(roomId)
  const dataType = 'm.test'
  for (const path of [`/user/${alice.userId}`, `/user/${alice.userId}/rooms/${encodeURIComponent(roomId)}`]) {
    await alice.done('PUT', `${path}/account_data/${dataType}`, { a: 1 })
  }
  await alice.done('PUT', `/profile/${alice.userId}/displayname`, { displayname: 'Alice' })
  const filter = await alice.done('POST', `/user/${alice.userId}/filter`, {})
  const uploaded = await server.request('POST', '/_matrix/media/v3/upload', { token: alice.token, body: {} })
  const world = {
    userId: alice.userId,
    otherUserId: bob.userId,
    deviceId: alice.deviceId,
    roomId,
    eventId: await alice.send(roomId, { msgtype: 'm.text', body: 'hello' }),
    serverName: testServerName,
    roomAlias: `#room${people}:${testServerName}`,
    mediaId: textOf(uploaded.body, 'content_uri').replace(/.*\//, ''),
    filterId: textOf(filter, 'filter_id'),
    ruleId: '.m.rule.message',
    dataType,
  }
  return { world, token: alice.token }
}

async function ask({ method, uri, body }: Probe, token: string): Promise<Reply> {
  const response = await unwatchedFetch(`${server.url}${uri}`, {
    method,
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    redirect: 'manual',
    signal: AbortSignal.timeout(30_000),
    ...(body === undefined ? {} : { body }),
  })
  return {
    status: response.status,
    type: response.headers.get('Content-Type') ?? '',
    text: await response.text(),
  }
}

describe('any input', () => {
  for (const route of routes) {
    it(`${route.method} ${route.path} answers as the specification says`, async () => {
      const { world, token } = await asker()
      await fc.assert(
        fc.asyncProperty(fc.gen(), (g) => {
          // An application service may act as the user, and has endpoints of its own.
          const mixed = g(fc.constantFrom, token, token, token, bridge.asToken)
          const used = route.path.includes('/appservice/') ? bridge.asToken : mixed
          return probe(g, route, world, (sent) => ask(sent, used))
        }),
        { numRuns: runs, endOnFailure: true },
      )
    })
  }
})
