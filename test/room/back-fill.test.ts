// What history is shown after it was back-filled: by the state that each event stood in, not by that above the gap.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { authEventSlots } from '../../src/matrix/event-auth/auth-events.ts'
import { checkedEvent } from '../../src/matrix/event-format.ts'
import { signEvent } from '../../src/matrix/event-signature.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../src/matrix/event.ts'
import { serverNameOf } from '../../src/matrix/identifiers.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { signingKeyFromSeed } from '../../src/matrix/signing.ts'
import type { ServerKeySet } from '../../src/room/receive-pdu.ts'
import { remoteKeys, remoteUser, rulesOf, sign } from '../support/remote-server.ts'
import { startServer, type TestServer } from '../support/server.ts'

const rules = rulesOf('10')
const eve = remoteUser('eve')
const bob = '@bob:test.local' as UserId
const remote = 'remote.test' as ServerName

let server: TestServer
let keys: ServerKeySet
let own: { keyId: string; seed: Uint8Array }
beforeAll(async () => {
  server = await startServer()
  const namespace = await server.mf.getDurableObjectNamespace('SERVER_KEYS')
  const stub = namespace.get(namespace.idFromName('server-keys')) as unknown as {
    signingKey: () => Promise<{ keyId: string; seed: Uint8Array }>
  }
  own = await stub.signingKey()
  const { publicKey } = signingKeyFromSeed(new Uint8Array(own.seed))
  const key = { key: publicKey, validUntilTs: Number.MAX_SAFE_INTEGER }
  keys = { ...remoteKeys, 'test.local': { [own.keyId]: key } }
})
afterAll(() => server.stop())

let rooms = 0

/** A room of an admin, by default of the remote server, told event by event. Bob is of this server. */
function history(admin = remoteUser('admin')) {
  rooms += 1
  const roomId = `!history${rooms}:${serverNameOf(admin)}` as RoomId
  const events: { id: EventId; pdu: JsonObject }[] = []
  const state = new Map<string, EventId>()
  const add = (
    sender: UserId,
    type: string,
    content: JsonObject,
    stateKey?: string,
    change: JsonObject = {},
  ) => {
    const subject = { type, sender, content, ...(stateKey === undefined ? {} : { state_key: stateKey }) }
    const fields: JsonObject = {
      ...subject,
      room_id: roomId,
      origin_server_ts: 1_700_000_000_000 + events.length,
      depth: events.length + 1,
      auth_events: authEventSlots(rules, subject).flatMap(
        (slot) => state.get(`${slot.type}|${slot.state_key}`) ?? [],
      ),
      prev_events: events.slice(-1).map(({ id }) => id),
      ...change,
    }
    const pdu = sender.endsWith(':test.local') ? signedHere(fields) : sign({ rules } as never, fields).pdu
    const checked = checkedEvent(pdu, rules, 'history')
    if (!checked.ok) throw new Error(checked.reason)
    const { event_id: id } = checked.event
    events.push({ id, pdu })
    if (stateKey !== undefined) state.set(`${type}|${stateKey}`, id)
    return id
  }
  add(admin, 'm.room.create', { room_version: '10', creator: admin }, '')
  add(admin, 'm.room.member', { membership: 'join' }, admin)
  add(admin, 'm.room.power_levels', { users: { [admin]: 100 } }, '')
  add(admin, 'm.room.join_rules', { join_rule: 'public' }, '')
  return {
    roomId,
    admin,
    events,
    state,
    add,
    say: (body: string) => add(admin, 'm.room.message', { body }),
    see: (visibility: string) =>
      add(admin, 'm.room.history_visibility', { history_visibility: visibility }, ''),
    member: (userId: UserId, membership: string, sender = userId) =>
      add(sender, 'm.room.member', { membership }, userId),
  }
}

function signedHere(fields: JsonObject): JsonObject {
  return signEvent(fields, rules, 'test.local', own.keyId, signingKeyFromSeed(new Uint8Array(own.seed)))
}

/** Bob joins the room now, by its whole state, and pages back over all that was before, so many events at a time. */
async function joinAndRead(story: ReturnType<typeof history>, step = 100) {
  const { roomId, events, state } = story
  const room = await server.room(roomId)
  const before = [...state.values()]
  story.member(bob, 'join')
  const join = events.at(-1)
  if (!join) throw new Error('no join')
  const byId = new Map(events.map(({ id, pdu }) => [id, pdu]))
  await room.beginJoin(roomId, '10')
  await room.receiveOutliers([...stateAndChain(before, byId)], keys)
  await room.completeJoin({ join: join.pdu, keys, state: before, servers: [remote] })
  const said: unknown[] = []
  let from = (await room.describe()).position
  for (;;) {
    const page = await room.messages(
      { userId: bob },
      { direction: 'b', limit: 100, from: { token: `t${from}`, position: from } },
    )
    const { chunk, end } = JSON.parse(page.body as string) as {
      chunk: { type: string; content: JsonObject }[]
      end?: string
    }
    said.push(...chunk.filter(({ type }) => type === 'm.room.message').map(({ content }) => content['body']))
    const { gap } = page
    if (gap) {
      const at = events.findIndex(({ id }) => gap.prevs.includes(id))
      const older = events.slice(Math.max(0, at + 1 - step), at + 1).map(({ pdu }) => pdu)
      await room.receiveOutliers(
        [
          ...stateAndChain(
            older.flatMap((pdu) => pdu['auth_events'] as EventId[]),
            byId,
          ),
        ],
        keys,
      )
      await room.receiveHistory(older, keys)
      if ((await room.backFill(gap.pos)) === 0) throw new Error('nothing was filled in')
      continue
    }
    if (end === undefined || end === `t${from}`) return { room, said: said.toReversed() }
    from = Number(end.slice(1))
  }
}

function stateAndChain(ids: readonly EventId[], byId: ReadonlyMap<EventId, JsonObject>): Set<JsonObject> {
  const found = new Set<JsonObject>()
  const open = [...ids]
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const pdu = byId.get(id)
    if (!pdu || found.has(pdu)) continue
    found.add(pdu)
    open.push(...(pdu['auth_events'] as EventId[]))
  }
  return found
}

describe.each([100, 3])('history that comes %i events at a time', (step) => {
  it('shows what was said while the visibility was open, and hides the rest', async () => {
    const story = history()
    story.see('joined')
    story.say('among ourselves')
    story.see('shared')
    story.say('for all who come')
    story.see('joined')
    story.say('among ourselves again')
    const { said } = await joinAndRead(story, step)
    expect(said).toEqual(['for all who come'])
  })

  it('shows what was said while a user was in the room, and hides what was said while they were away', async () => {
    const story = history()
    story.see('joined')
    story.say('before')
    story.member(bob, 'join')
    story.say('while there')
    story.member(bob, 'leave')
    story.say('while away')
    const { said } = await joinAndRead(story, step)
    expect(said).toEqual(['while there'])
  })

  it('shows what was said since the invite', async () => {
    const story = history()
    story.see('invited')
    story.say('before')
    story.member(bob, 'invite', story.admin)
    story.say('since the invite')
    const { said } = await joinAndRead(story, step)
    expect(said).toEqual(['since the invite'])
  })

  it('goes by the default of a room that had set no visibility yet', async () => {
    const story = history()
    story.say('at first')
    story.see('joined')
    story.say('later')
    const { said } = await joinAndRead(story, step)
    expect(said).toEqual(['at first'])
  })

  it('shows another server what its users could see', async () => {
    const story = history('@admin:test.local' as UserId)
    story.see('joined')
    const before = story.say('before')
    story.member(eve, 'join')
    const during = story.say('while she is there')
    story.member(eve, 'leave')
    const after = story.say('while she is away')
    story.member(eve, 'join')
    const { room } = await joinAndRead(story, step)
    const contentOf = async (id: EventId) =>
      (JSON.parse(await room.eventForServer(remote, id)) as JsonObject)['content']
    expect(await Promise.all([before, during, after].map(contentOf))).toEqual([
      {},
      { body: 'while she is there' },
      {},
    ])
  })

  it('goes on beyond an event that is rejected, and does not show it', async () => {
    const story = history()
    story.say('one')
    // Eve was never in the room.
    story.add(eve, 'm.room.message', { body: 'an outsider' })
    story.say('two')
    const { said } = await joinAndRead(story, step)
    expect(said).toEqual(['one', 'two'])
  })

  it('takes events of old that name more parents than are allowed today', async () => {
    const story = history()
    const parents = Array.from({ length: 25 }, (_, n) => story.say(`${n}`))
    story.add(story.admin, 'm.room.message', { body: 'merged' }, undefined, { prev_events: parents })
    const { said } = await joinAndRead(story, 100)
    expect(said).toHaveLength(26)
    expect(said.at(-1)).toBe('merged')
  })
})
