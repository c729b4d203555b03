// The operations whose costs are counted.

import { setTimeout as sleep } from 'node:timers/promises'
import type { UserId } from '../src/matrix/event.ts'
import type { JsonObject } from '../src/matrix/json.ts'
import {
  join as joinRemote,
  publicRoom,
  receive,
  remoteUser,
  sign,
  template,
  type TestRoom,
} from '../test/support/remote-server.ts'
import type { TestServer } from '../test/support/server.ts'
import { call, createRoom, inRoom, logIn, register, say, sync, upload, type Person } from './people.ts'

type Run = (i: number) => Promise<unknown>

/** Two users of a fresh server. */
export interface World {
  readonly server: TestServer
  readonly alice: Person
  readonly bob: Person
  /** A room of Alice and Bob, without other servers. */
  readonly roomId: string
}

export interface Operation {
  readonly name: string
  /** How many times it is done. */
  readonly runs: number
  /** Done before, uncounted. Returns what is counted. */
  readonly prepare: (world: World) => Promise<Run>
}

/** The operations that are counted. */
export const operations: readonly Operation[] = [
  op('message', ({ alice, roomId }) => say(alice, roomId)),
  { name: 'message and the poll it wakes', runs: 5, prepare: wokenPoll },
  op('state event', ({ alice, roomId }, i) =>
    inRoom(alice, roomId, 'PUT', 'state/m.room.topic', { topic: `Topic ${i}` }),
  ),
  {
    name: 'redaction',
    runs: 5,
    prepare: async ({ alice, roomId }) => {
      const sent = await Promise.all(Array.from({ length: 5 }, () => say(alice, roomId)))
      return (i) => inRoom(alice, roomId, 'PUT', `redact/${encodeURIComponent(sent[i] ?? '')}/r${i}`)
    },
  },
  { name: 'remote message', runs: 5, prepare: remoteMessages },
  {
    name: 'read receipt',
    runs: 5,
    prepare: async ({ alice, bob, roomId }) => {
      const sent: string[] = []
      for (let i = 0; i < 5; i += 1) sent.push(encodeURIComponent(await say(alice, roomId)))
      return (i) => inRoom(bob, roomId, 'POST', `receipt/m.read/${sent[i] ?? ''}`)
    },
  },
  op('typing', ({ alice, roomId }) =>
    inRoom(alice, roomId, 'PUT', `typing/${encodeURIComponent(alice.userId)}`, {
      typing: true,
      timeout: 20_000,
    }),
  ),
  {
    name: 'poll with nothing new',
    runs: 3,
    prepare: async ({ bob }) => {
      let { next } = await sync(bob)
      return async () => ({ next } = await sync(bob, next, 100))
    },
  },
  { name: 'poll with nothing new, in 300 rooms', runs: 3, prepare: idleInManyRooms },
  {
    name: 'sync of one message',
    runs: 1,
    prepare: async ({ alice, bob, roomId }) => {
      const { next } = await sync(bob)
      await say(alice, roomId)
      return () => sync(bob, next)
    },
  },
  { name: 'initial sync of 50 rooms', runs: 1, prepare: initialSync },
  op('page of 100 messages', ({ bob, roomId }) => inRoom(bob, roomId, 'GET', 'messages?dir=b&limit=100')),
  op('createRoom', ({ alice }) => createRoom(alice)),
  {
    name: 'invite',
    runs: 3,
    prepare: inOwnRooms(false, ({ alice, bob }, roomId) =>
      inRoom(alice, roomId, 'POST', 'invite', { user_id: bob.userId }),
    ),
  },
  {
    name: 'join',
    runs: 3,
    prepare: inOwnRooms(false, ({ bob }, roomId) => inRoom(bob, roomId, 'POST', 'join')),
  },
  {
    name: 'leave',
    runs: 3,
    prepare: inOwnRooms(true, ({ bob }, roomId) => inRoom(bob, roomId, 'POST', 'leave')),
  },
  op('register', ({ alice }, i) => register(alice.client, `new${i}`)),
  op('login', ({ alice }) => logIn(alice)),
  {
    name: 'logout',
    runs: 3,
    prepare: async ({ alice }) => {
      const devices = [await logIn(alice), await logIn(alice), await logIn(alice)]
      return (i) => call(devices[i] ?? alice, 'POST', '/logout', {})
    },
  },
  op('upload of 100 kB', ({ alice }) => upload(alice)),
  {
    name: 'download of 100 kB',
    runs: 3,
    prepare: async ({ alice, bob }) => {
      const path = (await upload(alice)).replace('mxc://', '/_matrix/client/v1/media/download/')
      return () => bob.client.text('GET', path, { token: bob.token })
    },
  },
]

function op(name: string, run: (world: World, i: number) => Promise<unknown>): Operation {
  return { name, runs: 3, prepare: (world) => Promise.resolve((i) => run(world, i)) }
}

// Each run has a room of its own, which Alice made and Bob is in if `joined`.
function inOwnRooms(joined: boolean, run: (world: World, roomId: string) => Promise<unknown>) {
  return async (world: World): Promise<Run> => {
    const roomIds: string[] = []
    for (let i = 0; i < 3; i += 1) {
      const roomId = await createRoom(world.alice)
      if (joined) await inRoom(world.bob, roomId, 'POST', 'join')
      roomIds.push(roomId)
    }
    return (i) => run(world, roomIds[i] ?? '')
  }
}

async function wokenPoll({ alice, bob, roomId }: World): Promise<Run> {
  let { next } = await sync(bob)
  return async () => {
    const poll = sync(bob, next, 30_000)
    // The poll has to be waiting.
    await sleep(50)
    await say(alice, roomId)
    ;({ next } = await poll)
  }
}

// In a room of both local users.
async function remoteMessages({ server, alice, bob }: World): Promise<Run> {
  const room = await publicRoom(server, alice.userId as UserId, '11')
  await inRoom(bob, room.roomId, 'POST', 'join')
  const carol = remoteUser('carol')
  await joinRemote(room, carol)
  const pdus = await chain(room, carol, 5)
  return (i) => {
    const pdu = pdus[i]
    if (!pdu) throw new Error(`no event ${i}`)
    return receive(room, pdu)
  }
}

// Each event builds upon the one before.
async function chain(room: TestRoom, sender: UserId, length: number): Promise<JsonObject[]> {
  const content = { msgtype: 'm.text', body: 'The quick brown fox' }
  const first = await template(room, { type: 'm.room.message', sender, content })
  const pdus: JsonObject[] = []
  let parents = first['prev_events'] ?? []
  for (let i = 0; i < length; i += 1) {
    const { pdu, eventId } = sign(room, { ...first, prev_events: parents, depth: Number(first['depth']) + i })
    pdus.push(pdu)
    parents = [eventId]
  }
  return pdus
}

async function idleInManyRooms({ server, alice }: World): Promise<Run> {
  const erin = await register(alice.client, 'erin')
  for (let i = 0; i < 300; i += 1) await inRoom(erin, await createRoom(alice), 'POST', 'join')
  let { next, text } = await sync(erin)
  while (text.includes('"join"')) ({ next, text } = await sync(erin, next))
  // The alarms of so many rooms take their time.
  let before = -1
  const requests = async () => (await server.report()).counts.doRequests
  for (let now = await requests(); now !== before; now = await requests()) {
    before = now
    await sleep(6_000)
  }
  // The first goes on from before what the alarms told.
  ;({ next } = await sync(erin, next, 100))
  return async () => ({ next } = await sync(erin, next, 100))
}

async function initialSync({ alice }: World): Promise<Run> {
  const dave = await register(alice.client, 'dave')
  for (let i = 0; i < 50; i += 1) {
    const roomId = await createRoom(alice)
    await inRoom(dave, roomId, 'POST', 'join')
    await say(alice, roomId)
  }
  // As many answers as it takes.
  return async () => {
    let { next, text } = await sync(dave)
    while (text.includes('"join"')) ({ next, text } = await sync(dave, next))
  }
}
