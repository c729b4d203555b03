// One server of ours and one Synapse, which trust the same authority, and what tests look at on both of them.

import { mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { makeAuthority } from '../../support/certificates.ts'
import type { RoomClient } from '../../support/room-client.ts'
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

const patience = 30_000

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

/** Joins a room by its id through a server. */
export async function joinVia(user: RoomClient, roomId: string, { serverName }: { serverName: string }) {
  const via = encodeURIComponent(serverName)
  // Synapse knows the parameter by its old name as well.
  return await user.done('POST', `/join/${encodeURIComponent(roomId)}?via=${via}&server_name=${via}`, {})
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
  await expect
    .poll(async () => await stateIds(one, roomId), { timeout: patience, interval: 200 })
    .toEqual(await stateIds(other, roomId))
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
