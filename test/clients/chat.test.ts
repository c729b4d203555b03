// Two users of an unmodified matrix-js-sdk chat over HTTP on the server that `npm start` starts, through a kill -9 of it.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import {
  Direction,
  EventType,
  MatrixError,
  MsgType,
  Preset,
  RelationType,
  RoomMemberEvent,
  SyncState,
  type MatrixEvent,
  type RoomMember,
} from 'matrix-js-sdk'
import { Burst } from './burst.ts'
import { chapter } from './chapter.ts'
import { startServer, type Server } from './launcher.ts'
import { logIn, register, roomOf, startSyncing, until, within, type Person } from './person.ts'
import { keepSdkLog } from './sdk-log.ts'

let server: Server
let alice: Person
let bob: Person
let roomId: string
/** A message of Alice that Bob has. */
let greeting: string

before(async () => {
  keepSdkLog()
  server = await within('starting the server', startServer(), 60_000)
})
after(async () => {
  for (const person of [alice, bob]) person?.client.stopClient()
  await server?.remove()
})

/** Waits until someone's sync has brought them an event. */
function received(person: Person, eventId: string): Promise<MatrixEvent> {
  return until(`${eventId} to reach ${person.userId}`, () =>
    person.client.getRoom(roomId)?.findEventById(eventId),
  )
}

async function say(person: Person, body: string): Promise<string> {
  const { event_id: eventId } = await within(`sending "${body}"`, person.client.sendTextMessage(roomId, body))
  return eventId
}

chapter('two users register', async () => {
  alice = await register(server.url, 'alice')
  bob = await register(server.url, 'bob')
  assert.equal(alice.userId, '@alice:localhost')
  const { user_id: userId, device_id: deviceId } = await alice.client.whoami()
  assert.deepEqual([userId, deviceId], [alice.userId, alice.client.getDeviceId()])
  await bob.client.setDisplayName('Bob')
  await startSyncing(alice)
  await startSyncing(bob)
})

chapter('one creates a room and invites the other, who joins', async () => {
  const created = await alice.client.createRoom({ preset: Preset.PrivateChat, name: 'Hearth' })
  roomId = created.room_id
  await until('the room to reach Alice', () => alice.client.getRoom(roomId)?.name === 'Hearth')
  await alice.client.invite(roomId, bob.userId)
  const invited = await until('the invite', () => bob.client.getRoom(roomId))
  assert.equal(invited.getMyMembership(), 'invite')
  assert.equal(invited.name, 'Hearth', 'the stripped state of the invite')
  assert.equal(invited.getMember(bob.userId)?.events.member?.getSender(), alice.userId)
  await bob.client.joinRoom(roomId)
  await until('Bob to see himself join', () => invited.getMyMembership() === 'join')
  const member = await until('Alice to see Bob join', () => {
    const found = roomOf(alice, roomId).getMember(bob.userId)
    return found?.membership === 'join' && found
  })
  assert.equal(member.name, 'Bob')
  assert.equal(roomOf(bob, roomId).getJoinedMemberCount(), 2)
})

chapter('messages go both ways', async () => {
  greeting = await say(alice, 'Is the fire lit?')
  const question = await received(bob, greeting)
  assert.equal(question.getContent().body, 'Is the fire lit?')
  assert.equal(question.getSender(), alice.userId)
  const answer = await received(alice, await say(bob, 'It is.'))
  assert.equal(answer.getContent().body, 'It is.')
  const own = roomOf(alice, roomId).findEventById(greeting)
  assert(own?.getUnsigned().transaction_id !== undefined, 'the sender gets the transaction id back')
  const copies = roomOf(alice, roomId)
    .getLiveTimeline()
    .getEvents()
    .filter((event) => event.getContent().body === 'Is the fire lit?')
  assert.equal(copies.length, 1, 'the local echo and the event are one')
})

chapter('typing comes and goes', async () => {
  const changes: (boolean | undefined)[] = []
  bob.client.on(RoomMemberEvent.Typing, (_, member: RoomMember) => {
    if (member.userId === alice.userId) changes.push(member.typing)
  })
  await alice.client.sendTyping(roomId, true, 30_000)
  await until('Bob to see Alice typing', () => changes.at(-1) === true)
  await alice.client.sendTyping(roomId, false, 0)
  await until('Bob to see Alice stop typing', () => changes.at(-1) === false)
})

chapter('a read receipt arrives', async () => {
  await bob.client.sendReadReceipt(await received(bob, greeting))
  await until('the receipt to reach Alice', () =>
    roomOf(alice, roomId).hasUserReadEvent(bob.userId, greeting),
  )
})

chapter('a reaction counts', async () => {
  const relation = { rel_type: RelationType.Annotation, event_id: greeting, key: '🔥' } as const
  await bob.client.sendEvent(roomId, EventType.Reaction, { 'm.relates_to': relation })
  const reactions = await until('the reaction to reach Alice', () =>
    roomOf(alice, roomId)
      .relations.getChildEventsForEvent(greeting, RelationType.Annotation, EventType.Reaction)
      ?.getSortedAnnotationsByKey(),
  )
  const found = reactions.map(([key, events]) => [key, [...events].map((event) => event.getSender())])
  assert.deepEqual(found, [['🔥', [bob.userId]]])
})

chapter('an edit replaces what was said', async () => {
  await alice.client.sendMessage(roomId, {
    msgtype: MsgType.Text,
    body: '* Is the stove lit?',
    'm.new_content': { msgtype: MsgType.Text, body: 'Is the stove lit?' },
    'm.relates_to': { rel_type: RelationType.Replace, event_id: greeting },
  })
  const edited = await until('the edit to reach Bob', () => {
    const event = roomOf(bob, roomId).findEventById(greeting)
    return event?.replacingEvent() && event
  })
  assert.equal(edited.getContent().body, 'Is the stove lit?')
  assert.equal(edited.getOriginalContent().body, 'Is the fire lit?')
})

chapter('a reply names what it answers', async () => {
  const { event_id: eventId } = await bob.client.sendMessage(roomId, {
    msgtype: MsgType.Text,
    body: 'The stove, too.',
    'm.relates_to': { 'm.in_reply_to': { event_id: greeting } },
  })
  assert.equal((await received(alice, eventId)).replyEventId, greeting)
})

chapter('a redaction takes the content away', async () => {
  const regretted = await say(alice, 'My PIN is 1234')
  await received(bob, regretted)
  await alice.client.redactEvent(roomId, regretted, undefined, { reason: 'oops' })
  const redacted = await until('the redaction to reach Bob', () => {
    const event = roomOf(bob, roomId).findEventById(regretted)
    return event?.isRedacted() && event
  })
  assert.deepEqual(redacted.getContent(), {})
  const fetched = await bob.client.fetchRoomEvent(roomId, regretted)
  assert.deepEqual(fetched.content, {})
  assert.equal(fetched.unsigned?.redacted_because?.content.reason, 'oops')
})

chapter('a file is uploaded, shared and downloaded', async () => {
  const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7919) % 251)
  const file = new Blob([bytes], { type: 'application/octet-stream' })
  const { content_uri: url } = await alice.client.uploadContent(file, { name: 'embers.bin' })
  const { event_id: eventId } = await alice.client.sendMessage(roomId, {
    msgtype: MsgType.File,
    body: 'embers.bin',
    url,
    info: { mimetype: file.type, size: bytes.length },
  })
  const shared = await received(bob, eventId)
  const link = bob.client.mxcUrlToHttp(
    String(shared.getContent().url),
    undefined,
    undefined,
    undefined,
    false,
    true,
    true,
  )
  assert(link, 'the SDK makes no link of the mxc: URI')
  const refused = await fetch(link)
  assert.equal(refused.status, 401, 'a download without an access token')
  await refused.arrayBuffer()
  const answer = await fetch(link, {
    headers: { Authorization: `Bearer ${bob.client.getAccessToken()}` },
  })
  assert.equal(answer.status, 200, 'a download with an access token')
  assert.match(answer.headers.get('Content-Disposition') ?? '', /^attachment; *filename="?embers\.bin/)
  assert.deepEqual(new Uint8Array(await answer.arrayBuffer()), bytes)
})

chapter(
  'a new device pages back through 200 messages',
  async () => {
    const bodies = Array.from({ length: 200 }, (_, i) => `log ${i}`)
    const sent = await within(
      'sending 200 messages',
      Promise.all(bodies.map((body) => alice.client.sendTextMessage(roomId, body))),
      60_000,
    )
    const last = sent.at(-1)?.event_id
    assert(last !== undefined)
    await received(bob, last)

    const device = await logIn(server.url, bob)
    try {
      await startSyncing(device, 10)
      const room = roomOf(device, roomId)
      while (room.oldState.paginationToken !== null) {
        await within('a page of history', device.client.scrollback(room, 30))
      }
      const events = room.getLiveTimeline().getEvents()
      assert.equal(events[0]?.getType(), EventType.RoomCreate, 'the first event of the room')
      const paged = events.map((event) => event.getContent<{ body?: string }>().body)
      assert.deepEqual(
        paged.filter((body) => body?.startsWith('log ')),
        bodies,
      )
      assert.equal(new Set(events.map((event) => event.getId())).size, events.length, 'no event twice')
    } finally {
      await device.client.logout(true)
    }
  },
  120_000,
)

chapter(
  'a server killed in the middle of a burst loses nothing it acknowledged',
  async () => {
    const burst = new Burst(roomId)
    // The SDK sends text messages one after another and the rest at once: both are in flight when the server dies.
    const sending = [burst.sendTexts(alice, 60), burst.sendStickers(bob, 40)]
    await until('a part of the burst to be acknowledged', () => burst.acknowledged.size >= 20)
    await server.kill()
    for (const { client } of [alice, bob]) {
      await until('the SDK to notice', () => client.getSyncState() !== SyncState.Syncing)
    }
    const before = burst.acknowledged.size
    assert(before < 100, 'the server was killed too late')
    await within('the second start of the server', server.restart(), 60_000)
    await within('the SDK to send what was left', Promise.all(sending), 90_000)
    assert.equal(burst.acknowledged.size, 100)

    const history = await historyOf(bob)
    const ids = history.map((event) => event.event_id)
    assert.equal(new Set(ids).size, ids.length, 'an event appears twice in the history')
    for (const [eventId, body] of burst.acknowledged) {
      assert(ids.includes(eventId), `${eventId} (${body}) was acknowledged and is lost`)
    }
    const bodies = history.map((event) => event.content['body']).filter((body) => burst.bodies.has(body))
    assert.equal(new Set(bodies).size, bodies.length, 'sending again made a second event')
  },
  240_000,
)

chapter(
  'both go on where they were',
  async () => {
    // The SDK asks every five to ten seconds whether the server is back.
    for (const { client, userId } of [alice, bob]) {
      await until(`${userId} to sync again`, () => client.getSyncState() === SyncState.Syncing, 30_000)
    }
    const fromAlice = await received(bob, await say(alice, 'Still here?'))
    assert.equal(fromAlice.getContent().body, 'Still here?')
    await received(alice, await say(bob, 'Still here.'))
  },
  120_000,
)

chapter('whoever logs out is out, the other stays', async () => {
  const token = bob.client.getAccessToken()
  await bob.client.logout(true)
  const refusal: unknown = await bob.client.whoami().catch((error: unknown) => error)
  assert(refusal instanceof MatrixError, `the token of ${bob.userId} still works: ${String(refusal)}`)
  assert.equal(refusal.errcode, 'M_UNKNOWN_TOKEN')
  assert.equal(bob.client.getAccessToken(), token, 'asked with the old token')
  await say(alice, 'Good night')
  const again = await logIn(server.url, bob)
  await startSyncing(again)
  assert.equal(roomOf(again, roomId).getLiveTimeline().getEvents().at(-1)?.getContent().body, 'Good night')
  await again.client.logout(true)
  await alice.client.logout(true)
})
/** All events of the room, newest first, as the server pages them. */
async function historyOf({ client }: Person) {
  const events = []
  let from: string | null = null
  for (;;) {
    const page: Awaited<ReturnType<typeof client.createMessagesRequest>> = await within(
      'a page of history',
      client.createMessagesRequest(roomId, from, 100, Direction.Backward),
    )
    events.push(...page.chunk)
    if (page.end === undefined) return events
    from = page.end
  }
}
