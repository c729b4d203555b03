// Joins of rooms that are too large for one invocation: through the RemoteJoin itself, which others share and a crash ends.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeAuthority } from '../../support/certificates.ts'
import { type FederatedServer, startFederatedServer } from '../../support/federated-server.ts'
import { largeRoom } from '../../support/large-room.ts'
import { type Resident, startResident } from '../../support/resident.ts'
import { newClient, refusal, type RoomClient } from '../../support/room-client.ts'

const authority = makeAuthority()
// As on Workers: six connections.
const vars = { SENDER_CONNECTIONS: '6' }
let resident: Resident
beforeAll(async () => {
  resident = await startResident(authority, 60)
})
afterAll(() => resident.stop())

const path = (roomId: string) => `/join/${encodeURIComponent(roomId)}?via=${resident.serverName}`

async function joinedMembers(user: RoomClient, roomId: string): Promise<number> {
  const { joined } = await user.done('GET', `/rooms/${encodeURIComponent(roomId)}/joined_members`)
  return Object.keys(joined as object).length
}

/** Waits for something to be true. */
async function until(isTrue: () => boolean): Promise<void> {
  for (let tries = 0; !isTrue(); tries += 1) {
    if (tries > 200) throw new Error('it never came')
    await new Promise((passed) => setTimeout(passed, 25))
  }
}

describe('a room of many servers', () => {
  let server: FederatedServer
  let bob: RoomClient
  let carol: RoomClient
  beforeAll(async () => {
    server = await startFederatedServer(authority, '127.0.0.1', { vars })
    bob = await newClient(server, 'bob')
    carol = await newClient(server, 'carol')
  })
  afterAll(() => server.stop())

  it('is joined in several turns, none of which takes more than the free plan gives', async () => {
    const room = largeRoom(resident.origins, 600)
    resident.let(room)
    await bob.done('POST', path(room.roomId), {})
    expect(await joinedMembers(bob, room.roomId)).toBe(601)
    const { byClass, mostSubrequests } = await server.report()
    // An event of the state is six rows, one that it rests upon two or four.
    const rows = 6 * room.stateEvents + 4 * room.chainEvents + 100
    expect(byClass['Room']?.rowsWritten).toBeLessThan(rows)
    // Several events share a row there.
    expect(byClass['RemoteJoin']?.rowsWritten).toBeLessThan(200)
    expect(byClass['RemoteJoin']?.requests).toBeGreaterThan(2)
    expect(mostSubrequests.subrequests).toBeLessThan(50)
  })

  it('is joined once by whoever asks meanwhile', async () => {
    const room = largeRoom(resident.origins, 100)
    resident.let(room)
    const before = resident.asked.toJoin
    const answers = await Promise.all(
      [bob, carol, bob, carol].map((user) => user.call('POST', path(room.roomId), {})),
    )
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200])
    expect(await joinedMembers(carol, room.roomId)).toBe(102)
    expect(resident.asked.toJoin - before).toBe(1)
  })
})

it('a join goes on when its client has gone, and is not begun again by the next request', async () => {
  const server = await startFederatedServer(authority, '127.0.0.1', { vars })
  try {
    const bob = await newClient(server, 'bob')
    const room = largeRoom(resident.origins, 100)
    resident.let(room)
    const { directly, toJoin } = resident.asked
    const release = resident.holdKeys()
    const client = new AbortController()
    const gone = fetch(`${server.url}/_matrix/client/v3${path(room.roomId)}`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${bob.token}` },
      body: '{}',
      signal: client.signal,
    })
    await until(() => resident.asked.directly > directly)
    client.abort()
    await expect(gone).rejects.toThrow()
    const again = bob.call('POST', path(room.roomId), {})
    release()
    expect((await again).status).toBe(200)
    expect(await joinedMembers(bob, room.roomId)).toBe(101)
    expect(resident.asked.toJoin - toJoin).toBe(1)
  } finally {
    await server.stop()
  }
})

it('the keys of many servers are asked of a notary, in few requests', async () => {
  const server = await startFederatedServer(authority, '127.0.0.1', {
    vars: { ...vars, KEY_NOTARIES: resident.serverName },
  })
  try {
    const bob = await newClient(server, 'bob')
    const room = largeRoom(resident.origins, 300)
    resident.let(room)
    const before = { ...resident.asked }
    await bob.done('POST', path(room.roomId), {})
    expect(await joinedMembers(bob, room.roomId)).toBe(301)
    expect(resident.asked.asNotary - before.asNotary).toBe(2)
    // The notary itself.
    expect(resident.asked.directly - before.directly).toBe(1)
    expect((await server.report()).mostSubrequests.subrequests).toBeLessThan(50)
  } finally {
    await server.stop()
  }
})

it('a join that a crash broke off goes on where it was, and who asks again is joined', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'hearth-join-'))
  const room = largeRoom(resident.origins, 200)
  resident.let(room)
  const before = resident.asked.toJoin
  try {
    const first = await startFederatedServer(authority, '127.0.0.1', { dataDir, vars })
    const bob = await newClient(first, 'bob')
    const asked = resident.asked.directly
    const release = resident.holdKeys()
    const broken = bob.call('POST', path(room.roomId), {}).catch(() => undefined)
    await until(() => resident.asked.directly > asked)
    await first.kill()
    release()
    await broken

    const second = await startFederatedServer(authority, '127.0.0.1', {
      dataDir,
      // The server is still the same.
      vars: { ...vars, SERVER_NAME: first.serverName },
    })
    const again = await newClient(second, 'carol')
    expect((await again.call('POST', path(room.roomId), {})).status).toBe(200)
    // Of both: the one who asked before the crash, and the one who asks now.
    expect(await joinedMembers(again, room.roomId)).toBe(202)
    expect(resident.asked.toJoin - before).toBe(1)
    await second.stop()
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
})

it('a room that is too large is not joined, and nothing of it is kept', async () => {
  const server = await startFederatedServer(authority, '127.0.0.1', {
    vars: { ...vars, MAX_JOIN_STATE_EVENTS: '50' },
  })
  try {
    const bob = await newClient(server, 'bob')
    const room = largeRoom(resident.origins, 100)
    resident.let(room)
    const answer = await bob.call('POST', path(room.roomId), {})
    expect(answer).toEqual(refusal(400, 'M_RESOURCE_LIMIT_EXCEEDED'))
    expect(answer.body['error']).toMatch(/too large.*50 state events/)
  } finally {
    await server.stop()
  }
})
