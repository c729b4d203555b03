// One server of ours and one Synapse, which trust the same authority, and what tests look at on both of them.

import { mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, vi } from 'vitest'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { makeAuthority } from '../../support/certificates.ts'
import { newClient, type RoomClient } from '../../support/room-client.ts'
import { textOf } from '../../support/text-of.ts'
import { startHearth } from './hearth.ts'
import { startSynapse } from './synapse.ts'

export type Pair = Awaited<ReturnType<typeof startPair>>

/** Starts both. */
export async function startPair() {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-synapse-'))
  const authority = makeAuthority()
  const ca = join(folder, 'ca.pem')
  writeFileSync(ca, authority.ca)
  const [hearth, synapse] = await Promise.all([
    startHearth(authority, join(folder, 'hearth'), ca),
    startSynapse(authority, join(folder, 'synapse'), ca),
  ])
  return {
    hearth,
    synapse,
    async stop(): Promise<void> {
      hearth.remove()
      await synapse.remove()
      if (process.env.KEEP_LOGS === undefined) await rm(folder, { recursive: true, force: true })
      else console.log(`logs: ${folder}`)
    },
  }
}

export type Server = Pair['hearth'] | Pair['synapse']

let strangers = 0

/** A new user of a server. */
export async function stranger(server: Server): Promise<RoomClient> {
  strangers += 1
  return await newClient(server, `stranger-${strangers}`)
}

const patience = 60_000

/** Waits until a look gives something. Fails, naming what it waited for, when that takes too long. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined>,
  milliseconds = patience,
): Promise<T> {
  const deadline = Date.now() + milliseconds
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (Date.now() > deadline) throw new Error(`waited ${milliseconds / 1000} s in vain for ${what}`)
    await sleep(100)
  }
}

/** Waits until a user is shown an event, and gives it. */
export function received(user: RoomClient, roomId: string, eventId: string, milliseconds = patience) {
  return eventually(
    `${eventId} to reach ${user.userId}`,
    async () => {
      const { status, body } = await user.event(roomId, eventId)
      return status === 200 ? body : undefined
    },
    milliseconds,
  )
}

/** Waits until a user sees somebody's membership. */
export async function sees(viewer: RoomClient, roomId: string, user: RoomClient, membership: string) {
  await eventually(`${viewer.userId} to see ${user.userId} as ${membership}`, async () => {
    const member = await viewer.state(roomId, 'm.room.member', user.userId)
    return member?.['membership'] === membership || undefined
  })
}

/** Joins a room by its id through a server, or knocks there. */
export async function enter(
  user: RoomClient,
  action: 'join' | 'knock',
  roomId: string,
  { serverName }: { serverName: string },
  body: JsonObject = {},
) {
  const via = encodeURIComponent(serverName)
  return await user.call('POST', `/${action}/${encodeURIComponent(roomId)}?via=${via}`, body)
}

/** Joins a room by its id through a server. */
export async function joinVia(user: RoomClient, roomId: string, server: { serverName: string }) {
  expect(await enter(user, 'join', roomId, server)).toMatchObject({ status: 200 })
}

/** The ids of a room's state as a member sees it, in order. */
async function stateIds(user: RoomClient, roomId: string): Promise<string[]> {
  const { status, body } = await user.inRoom('GET', roomId, 'state')
  expect(status, JSON.stringify(body)).toBe(200)
  const events = body as unknown as JsonObject[]
  return events
    .map((event) => `${textOf(event, 'type')}|${textOf(event, 'state_key')} ${textOf(event, 'event_id')}`)
    .sort()
}

/** Waits until two users on different servers see the same state of a room, event for event. */
export async function agree(one: RoomClient, other: RoomClient, roomId: string): Promise<void> {
  await vi.waitFor(async () => expect(await stateIds(one, roomId)).toEqual(await stateIds(other, roomId)), {
    timeout: patience,
    interval: 200,
  })
}

/** All events that a user can page back to, the newest first. */
export async function history(user: RoomClient, roomId: string, limit = 30): Promise<JsonObject[]> {
  const found: JsonObject[] = []
  for (let from: unknown = ''; typeof from === 'string';) {
    const start = from === '' ? '' : `&from=${encodeURIComponent(from)}`
    const path = `/rooms/${encodeURIComponent(roomId)}/messages?dir=b&limit=${limit}${start}`
    const { chunk, end } = await user.done('GET', path)
    found.push(...(chunk as JsonObject[]))
    from = end
  }
  return found
}

export interface SyncedRoom {
  readonly timeline?: { readonly events: JsonObject[] }
  readonly ephemeral?: { readonly events: JsonObject[] }
  readonly invite_state?: { readonly events: JsonObject[] }
  readonly knock_state?: { readonly events: JsonObject[] }
}

/** What an initial sync shows of a room in a section, undefined where it is not there. */
export async function synced(
  user: RoomClient,
  section: 'join' | 'invite' | 'knock' | 'leave',
  roomId: string,
): Promise<SyncedRoom | undefined> {
  const filter = JSON.stringify({ room: { rooms: [roomId], include_leave: true } })
  const { rooms } = (await user.done('GET', `/sync?timeout=0&filter=${encodeURIComponent(filter)}`)) as {
    rooms?: Record<string, Record<string, SyncedRoom> | undefined>
  }
  return rooms?.[section]?.[roomId]
}
