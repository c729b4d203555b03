import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventIdOf } from '../../src/matrix/event-hash.ts'
import { signEvent } from '../../src/matrix/event-signature.ts'
import type { EventId, ServerName, UserId } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { signingKeyFromSeed } from '../../src/matrix/signing.ts'
import type { ServerKeySet } from '../../src/room/receive-pdu.ts'
import { publicRoom, type TestRoom } from '../support/remote-server.ts'
import { startServer, type TestServer } from '../support/server.ts'

// The room lives on `theirs`, whose name is test.local; the server under test joins it.
const alice = '@alice:test.local' as UserId
const bob = '@bob:ours.test' as UserId

let theirs: TestServer
let ours: TestServer
let keys: ServerKeySet
let n = 0
let signer: { keyId: string; sign: (pdu: JsonObject, room: TestRoom) => JsonObject }
beforeAll(async () => {
  theirs = await startServer()
  ours = await startServer({ vars: { SERVER_NAME: 'ours.test' } })
  const [their, our] = await Promise.all([keyOf(theirs), keyOf(ours)])
  const forEver = Number.MAX_SAFE_INTEGER
  keys = {
    'test.local': { [their.keyId]: { key: their.key.publicKey, validUntilTs: forEver } },
    'ours.test': { [our.keyId]: { key: our.key.publicKey, validUntilTs: forEver } },
  }
  signer = {
    keyId: our.keyId,
    sign: (pdu, { rules }) => {
      n += 1
      const fields = rules.eventId === 'field' ? { ...pdu, event_id: `$join${n}:ours.test` } : pdu
      return signEvent(fields, rules, 'ours.test', our.keyId, our.key)
    },
  }
})
afterAll(() => Promise.all([theirs.stop(), ours.stop()]))

async function keyOf(server: TestServer) {
  const namespace = await server.mf.getDurableObjectNamespace('SERVER_KEYS')
  const stub = namespace.get(namespace.idFromName('server-keys')) as unknown as {
    signingKey: () => Promise<{ keyId: string; seed: Uint8Array }>
  }
  const { keyId, seed } = await stub.signingKey()
  return { keyId, key: signingKeyFromSeed(new Uint8Array(seed)) }
}

async function pdu(room: TestRoom['room'], eventId: string): Promise<JsonObject> {
  return JSON.parse(await room.pduText(eventId)) as JsonObject
}

/** Everything that send_join would give, in no helpful order. */
async function stateOf(room: TestRoom['room']): Promise<{ ids: EventId[]; pdus: JsonObject[] }> {
  const { state } = await room.describe()
  const ids = Object.values(state).map((entry) => entry.event_id as EventId)
  return { ids, pdus: (await Promise.all(ids.map((id) => pdu(room, id)))).reverse() }
}

function say({ room }: TestRoom, body: string): Promise<EventId> {
  return room.sendEvent({ draft: { type: 'm.room.message', sender: alice, content: { body } } })
}

/** Joins the room from `ours` as federation would, and tells `theirs` of it. */
async function joinFromOurs(room: TestRoom): Promise<TestRoom> {
  const here = await ours.room(room.roomId)
  const draft = { type: 'm.room.member', sender: bob, state_key: bob, content: { membership: 'join' } }
  const join = signer.sign(JSON.parse(await room.room.eventTemplate(draft)) as JsonObject, room)
  const { ids, pdus } = await stateOf(room.room)
  await here.beginJoin(room.roomId, room.rules.id)
  const staged = await here.receiveOutliers(pdus, keys)
  expect(staged.every(({ outcome }) => outcome === 'accepted' || outcome === 'known')).toBe(true)
  await here.completeJoin({ join, keys, state: ids, servers: ['test.local' as ServerName] })
  expect(await room.room.receivePdus([join], keys)).toMatchObject([{ outcome: 'accepted' }])
  return { ...room, room: here }
}

async function bodies(
  room: TestRoom,
  from = '',
): Promise<{ bodies: unknown[]; end: string | undefined; gap: unknown }> {
  const position = from === '' ? {} : { from: { token: from, position: Number(from.slice(1)) } }
  const answer = await room.room.messages({ userId: bob }, { direction: 'b', limit: 50, ...position })
  const page = JSON.parse(answer.body as string) as {
    chunk: { type: string; content: JsonObject }[]
    end?: string
  }
  const said = page.chunk
    .filter(({ type }) => type === 'm.room.message')
    .map(({ content }) => content['body'])
  return { bodies: said, end: page.end, gap: answer.gap }
}

describe.each(['1', '6', '10', '11'] as const)('a room of version %s on another server', (version) => {
  it('is joined with its whole state, and events flow both ways', async () => {
    const there = await publicRoom(theirs, alice, version)
    await there.room.sendEvent({
      draft: { type: 'm.room.topic', sender: alice, state_key: '', content: { topic: 'before you came' } },
    })
    const here = await joinFromOurs(there)
    const [mine, their] = await Promise.all([here.room.describe(), there.room.describe()])
    expect(mine.state).toEqual(their.state)
    expect(mine.extremities).toEqual(their.extremities)

    const said = await say(there, 'welcome')
    expect(await here.room.receivePdus([await pdu(there.room, said)], keys)).toMatchObject([
      { outcome: 'accepted' },
    ])
    const reply = await here.room.sendEvent({
      draft: { type: 'm.room.message', sender: bob, content: { body: 'thanks' } },
    })
    expect(await there.room.receivePdus([await pdu(here.room, reply)], keys)).toMatchObject([
      { outcome: 'accepted' },
    ])
    expect((await there.room.describe()).extremities).toEqual((await here.room.describe()).extremities)
  })

  it('is paginated back over the join once its history has been fetched', async () => {
    const there = await publicRoom(theirs, alice, version)
    const before = [await say(there, 'one'), await say(there, 'two'), await say(there, 'three')]
    const here = await joinFromOurs(there)
    const first = await bodies(here)
    expect(first).toMatchObject({ bodies: [], end: expect.stringMatching(/^t/) as string })
    const second = await bodies(here, first.end)
    const gap = second.gap as { pos: number; prevs: string[] }
    expect(gap.prevs).toEqual([before[2]])
    // What another server would answer to a request for older events.
    const older = await Promise.all(before.map((id) => pdu(there.room, id)))
    expect((await here.room.receiveHistory(older, keys)).map(({ outcome }) => outcome)).toEqual(
      before.map(() => 'accepted'),
    )
    expect(await here.room.backFill(gap.pos)).toBe(3 + 5)
    const filled = await bodies(here, first.end)
    expect(filled.bodies).toEqual(['three', 'two', 'one'])
    expect(filled.end).toBeUndefined()
    // Nothing of it changed the present.
    expect((await here.room.describe()).state).toEqual((await there.room.describe()).state)
  })

  it('is caught up with across a gap by the state that another server gives', async () => {
    const there = await publicRoom(theirs, alice, version)
    const here = await joinFromOurs(there)
    await say(there, 'missed')
    const missed = await there.room.sendEvent({
      draft: { type: 'm.room.topic', sender: alice, state_key: '', content: { topic: 'also missed' } },
    })
    const { ids, pdus } = await stateOf(there.room)
    const newest = await say(there, 'seen')
    const event = await pdu(there.room, newest)
    expect(await here.room.receivePdus([event], keys)).toMatchObject([{ outcome: 'incomplete' }])
    await here.room.receiveOutliers(pdus, keys)
    const receipt = await here.room.receiveAcrossGap({
      pdu: event,
      keys,
      // The last thing that was missed set the topic: as the parent of the event it is not in the state before itself.
      given: [{ parent: missed, state: ids.filter((id) => id !== missed) }],
      servers: ['test.local' as ServerName],
    })
    expect(receipt).toEqual({ outcome: 'accepted', eventId: eventIdOf(event, there.rules) })
    expect((await here.room.describe()).state).toEqual((await there.room.describe()).state)
    const page = await bodies(here)
    expect(page.bodies).toEqual(['seen'])
    expect((await bodies(here, page.end)).gap).toMatchObject({ servers: ['test.local'] })
  })

  it('has no gap below an event whose parents are all here', async () => {
    const there = await publicRoom(theirs, alice, version)
    const here = await joinFromOurs(there)
    const first = await pdu(there.room, await say(there, 'first'))
    const second = await pdu(there.room, await say(there, 'second'))
    expect(await here.room.receivePdus([first], keys)).toMatchObject([{ outcome: 'accepted' }])
    const servers = ['test.local' as ServerName]
    expect(await here.room.receiveAcrossGap({ pdu: second, keys, given: [], servers })).toMatchObject({
      outcome: 'accepted',
    })
    expect((await bodies(here)).bodies).toEqual(['second', 'first'])
  })

  it('is not joined on a state that does not hold together, and nothing is left of the attempt', async () => {
    const there = await publicRoom(theirs, alice, version)
    const here = await ours.room(there.roomId)
    const draft = { type: 'm.room.member', sender: bob, state_key: bob, content: { membership: 'join' } }
    const join = signer.sign(JSON.parse(await there.room.eventTemplate(draft)) as JsonObject, there)
    const { ids, pdus } = await stateOf(there.room)
    const rules = (await there.room.describe()).state['m.room.join_rules|']?.event_id
    await here.beginJoin(there.roomId, there.rules.id)
    await here.receiveOutliers(pdus, keys)
    // Without its join rules the room is open to nobody.
    const state = ids.filter((id) => id !== rules)
    const attempt = here.completeJoin({ join, keys, state, servers: [] })
    await expect(attempt).rejects.toThrow()
    expect((await here.describe()).position).toBe(0)
    await here.completeJoin({ join, keys, state: ids, servers: [] })
    expect((await here.describe()).state[`m.room.member|${bob}`]?.membership).toBe('join')
  })
})
