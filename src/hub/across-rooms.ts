// A new name or avatar, told to all rooms of its owner: the first ones before whoever changed it has the answer, the others in
// parts by the alarm. What is left to do is on disk, so that a crash in the middle costs a repetition, never a room.
// Specification: client-server API, "Events on Change of Profile Information".

import { writeToRoom } from '../federation/write-to-room.ts'
import { errorMessage, log } from '../log.ts'
import type { RoomId, UserId } from '../matrix/event.ts'
import { stringProperty } from '../matrix/json.ts'
import type { ProfileUpdate } from '../room/membership.ts'
import { findProfile } from '../storage/profiles.ts'
import type { HubContext } from './context.ts'
import { internUser, userIdOf } from './interned.ts'
import { joinedRooms } from './members.ts'
import { wakeAt } from './pushes.ts'

/** The fields of a profile that member events repeat. */
export type MemberField = 'displayname' | 'avatar_url'

// Each room is a request, of which one call may make few.
const roomsAtOnce = 6
const roomsPerPart = 20
const firstRetryMs = 5_000
const mostAttempts = 5

interface UpdateRow {
  readonly fields: string
  /** Rooms that are left, null before they are known. */
  readonly rooms: string | null
  readonly generation: number
  readonly attempts: number
  readonly [column: string]: SqlStorageValue
}

/** Notes that a field of a user's profile is about to change: from then on the alarm sees to it that their rooms are told. */
export function expectProfileUpdate(hub: HubContext, userId: UserId, field: MemberField): void {
  const uid = internUser(hub, userId)
  const row = rowOf(hub, uid)
  const fields = new Set(row ? fieldsOf(row) : []).add(field)
  // A part that is under way may have read the profile before: the generation tells it to begin again.
  hub.sql.exec(
    'INSERT OR REPLACE INTO profile_updates (uid, fields, rooms, generation, attempts) VALUES (?, ?, NULL, ?, 0)',
    uid,
    JSON.stringify([...fields]),
    (row?.generation ?? 0) + 1,
  )
  wakeAt(hub, hub.now() + firstRetryMs)
}

/** Tells the first of a user's rooms about a field that has changed, and leaves the others to the alarm. */
export async function tellProfile(hub: HubContext, userId: UserId, field: MemberField): Promise<void> {
  const uid = internUser(hub, userId)
  // Whatever was told since it was expected to change may have been what it was before.
  expectProfileUpdate(hub, userId, field)
  await runningOf(hub).get(uid)
  await tellPart(hub, uid)
  resumeProfileUpdates(hub)
}

/** The alarm: goes on with what was left, by a part. */
export async function continueProfileUpdates(hub: HubContext): Promise<void> {
  const [next] = hub.sql
    .exec<{ uid: number }>('SELECT uid FROM profile_updates ORDER BY attempts, uid LIMIT 1')
    .toArray()
  if (!next) return
  await tellPart(hub, next.uid)
  resumeProfileUpdates(hub)
}

/** Arms the alarm where anything is left to be told. */
export function resumeProfileUpdates(hub: HubContext): void {
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
  // Who was deactivated meanwhile leaves all rooms.
  const rooms = profile ? roomsOf(row, () => joinedRooms(hub, userId)) : []
  const part = rooms.slice(0, roomsPerPart)
  const values = fieldsOf(row).map((field) => [field, stringProperty(profile, field) ?? null] as const)
  const update: ProfileUpdate = { userId, ...Object.fromEntries(values) }
  const failed: RoomId[] = []
  const queue = [...part]
  const worker = async (): Promise<void> => {
    for (let roomId = queue.shift(); roomId !== undefined; roomId = queue.shift()) {
      if (!(await tellRoom(hub, roomId, update))) failed.push(roomId)
    }
  }
  await Promise.all(Array.from({ length: roomsAtOnce }, worker))
  keepLeft(hub, uid, row, [...rooms.slice(roomsPerPart), ...failed], failed.length === part.length)
}

async function tellRoom(hub: HubContext, roomId: RoomId, update: ProfileUpdate): Promise<boolean> {
  try {
    await writeToRoom(hub.env, roomId, (room) => room.updateMemberProfile(update))
    return true
  } catch (error) {
    log({ event: 'member_update_failed', room_id: roomId, error: errorMessage(error) })
    return false
  }
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
    .exec<UpdateRow>('SELECT fields, rooms, generation, attempts FROM profile_updates WHERE uid = ?', uid)
    .toArray()[0]
}

// Both columns are written here alone.
function fieldsOf({ fields }: UpdateRow): MemberField[] {
  return JSON.parse(fields) as MemberField[]
}

function roomsOf({ rooms }: UpdateRow, all: () => RoomId[]): RoomId[] {
  return rooms === null ? all() : (JSON.parse(rooms) as RoomId[])
}
