// What concerns all rooms of a user: a new name or avatar is told to them, and who was deactivated leaves. The first rooms come
// before whoever asked has the answer, the others in parts by the alarm. What is left to do is on disk, so that a crash in the
// middle costs a repetition, never a room.
// Specification: client-server API, "Events on Change of Profile Information", "Account deactivation".

import { leaveRoom } from '../client/leave-room.ts'
import { writeToRoom } from '../federation/write-to-room.ts'
import { errorMessage, log } from '../log.ts'
import type { RoomId, UserId } from '../matrix/event.ts'
import { stringProperty } from '../matrix/json.ts'
import type { ProfileUpdate } from '../room/membership.ts'
import { findProfile } from '../storage/profiles.ts'
import { wakeAt } from './alarm.ts'
import type { HubContext } from './context.ts'
import { internUser, userIdOf } from './interned.ts'
import { joinedRooms, roomsOf } from './members.ts'

/** A field of the profile that member events repeat and that has changed, or that the user leaves. */
export type RoomsTask = 'displayname' | 'avatar_url' | 'leave'

// Each room is a request, of which one call may make few; to leave a room elsewhere takes several.
const roomsAtOnce = 6
const roomsPerPart = 20
const leftPerPart = 10
const firstRetryMs = 5_000
const mostAttempts = 5

interface UpdateRow {
  readonly tasks: string
  /** Rooms that are left, null before they are known. */
  readonly rooms: string | null
  readonly generation: number
  readonly attempts: number
  readonly [column: string]: SqlStorageValue
}

/** Notes what is about to concern a user's rooms: from then on the alarm sees to it that they are told what is so. */
export function expectRoomsTask(hub: HubContext, userId: UserId, task: RoomsTask): void {
  const uid = internUser(hub, userId)
  const row = rowOf(hub, uid)
  const tasks = new Set(row ? tasksOf(row) : []).add(task)
  // A part that is under way may have read the profile before: the generation tells it to begin again.
  hub.sql.exec(
    'INSERT OR REPLACE INTO profile_updates (uid, fields, rooms, generation, attempts) VALUES (?, ?, NULL, ?, 0)',
    uid,
    JSON.stringify([...tasks]),
    (row?.generation ?? 0) + 1,
  )
  wakeAt(hub, hub.now() + firstRetryMs)
}

/** Turns to the first of a user's rooms, now that it is so, and leaves the others to the alarm. */
export async function startRoomsTask(hub: HubContext, userId: UserId, task: RoomsTask): Promise<void> {
  const uid = internUser(hub, userId)
  // Whatever was told since it was expected may have been what was so before.
  expectRoomsTask(hub, userId, task)
  await runningOf(hub).get(uid)
  await tellPart(hub, uid)
  resumeRoomsTasks(hub)
}

/** The alarm: goes on with what was left, by a part. */
export async function continueRoomsTasks(hub: HubContext): Promise<void> {
  const [next] = hub.sql
    .exec<{ uid: number }>('SELECT uid FROM profile_updates ORDER BY attempts, uid LIMIT 1')
    .toArray()
  if (!next) return
  await tellPart(hub, next.uid)
  resumeRoomsTasks(hub)
}

/** Arms the alarm where anything is left to be told. */
export function resumeRoomsTasks(hub: HubContext): void {
  const { attempts } = hub.sql
    .exec<{ attempts: number | null }>('SELECT min(attempts) AS attempts FROM profile_updates')
    .one()
  if (attempts !== null) wakeAt(hub, hub.now() + attempts * firstRetryMs)
}

const running = new WeakMap<HubContext, Map<number, Promise<void>>>()

function runningOf(hub: HubContext): Map<number, Promise<void>> {
  const known = running.get(hub) ?? new Map<number, Promise<void>>()
  running.set(hub, known)
  return known
}

/** One part at a time of each user. */
function tellPart(hub: HubContext, uid: number): Promise<void> {
  const known = runningOf(hub).get(uid)
  if (known) return known
  const part = tellRooms(hub, uid).finally(() => runningOf(hub).delete(uid))
  runningOf(hub).set(uid, part)
  return part
}

async function tellRooms(hub: HubContext, uid: number): Promise<void> {
  const row = rowOf(hub, uid)
  if (!row) return
  const userId = userIdOf(hub, uid)
  const profile = await findProfile(hub.env, userId)
  // Who was not deactivated after all stays; who was deactivated has nothing else to tell.
  const tasks = tasksOf(row).filter((task) => (task === 'leave') === (profile === undefined))
  const leaves = tasks.includes('leave')
  const all = () => (leaves ? presentRooms(hub, userId) : joinedRooms(hub, userId))
  const rooms = tasks.length === 0 ? [] : leftOf(row, all)
  const perPart = leaves ? leftPerPart : roomsPerPart
  const part = rooms.slice(0, perPart)
  const values = tasks.map((field) => [field, stringProperty(profile, field) ?? null] as const)
  const update: ProfileUpdate = { userId, ...Object.fromEntries(values) }
  const turnTo = (roomId: RoomId) =>
    leaves
      ? leaveRoom(hub.env, { userId, shard: ownShard(hub) }, roomId, {})
      : writeToRoom(hub.env, roomId, (room) => room.updateMemberProfile(update))
  const failed: RoomId[] = []
  const queue = [...part]
  const worker = async (): Promise<void> => {
    for (let roomId = queue.shift(); roomId !== undefined; roomId = queue.shift()) {
      if (!(await succeeds(roomId, turnTo))) failed.push(roomId)
    }
  }
  await Promise.all(Array.from({ length: roomsAtOnce }, worker))
  keepLeft(hub, uid, row, [...rooms.slice(perPart), ...failed], failed.length === part.length)
}

async function succeeds(roomId: RoomId, turnTo: (roomId: RoomId) => Promise<unknown>): Promise<boolean> {
  try {
    await turnTo(roomId)
    return true
  } catch (error) {
    log({ event: 'member_update_failed', room_id: roomId, error: errorMessage(error) })
    return false
  }
}

const present = new Set(['join', 'invite', 'knock'])

function presentRooms(hub: HubContext, userId: UserId): RoomId[] {
  return roomsOf(hub, userId)
    .filter(({ membership }) => present.has(membership))
    .map(({ roomId }) => roomId)
}

function ownShard({ otherShards }: HubContext): number {
  const shards = Array.from({ length: otherShards.length + 1 }, (_, shard) => shard)
  return shards.find((shard) => !otherShards.includes(shard)) ?? 0
}

/** Writes down which rooms are left. Where a whole part has failed, the next attempt comes later, until they are given up. */
function keepLeft(
  hub: HubContext,
  uid: number,
  row: UpdateRow,
  left: readonly RoomId[],
  inVain: boolean,
): void {
  const attempts = inVain ? row.attempts + 1 : 0
  const isDone = left.length === 0 || attempts >= mostAttempts
  if (isDone) {
    hub.sql.exec('DELETE FROM profile_updates WHERE uid = ? AND generation = ?', uid, row.generation)
    return
  }
  hub.sql.exec(
    'UPDATE profile_updates SET rooms = ?, attempts = ? WHERE uid = ? AND generation = ?',
    JSON.stringify(left),
    attempts,
    uid,
    row.generation,
  )
}

function rowOf(hub: HubContext, uid: number): UpdateRow | undefined {
  return hub.sql
    .exec<UpdateRow>(
      'SELECT fields AS tasks, rooms, generation, attempts FROM profile_updates WHERE uid = ?',
      uid,
    )
    .toArray()[0]
}

// Both columns are written here alone.
function tasksOf({ tasks }: UpdateRow): RoomsTask[] {
  return JSON.parse(tasks) as RoomsTask[]
}

function leftOf({ rooms }: UpdateRow, all: () => RoomId[]): RoomId[] {
  return rooms === null ? all() : (JSON.parse(rooms) as RoomId[])
}
