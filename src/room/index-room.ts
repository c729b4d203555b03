// Telling D1 what the room directory, searches and previews need to know of a room: one row, written again when state
// that it is made of has changed, never for messages. Published rooms tell it at once, the others in the alarm.

import { errorMessage, log } from '../log.ts'
import { joinRuleOf } from '../matrix/event-auth/room-state.ts'
import { isJsonObject, type JsonObject, objectProperty, property, stringProperty } from '../matrix/json.ts'
import { type RoomSummary, searchText, writeRoomSummary } from '../storage/room-index.ts'
import { findIdentity, identity, meta, type RoomContext } from './context.ts'
import { livePosition } from './events.ts'
import { memberCounts } from './member-counts.ts'
import { acknowledge, armAlarm, indexSink as sink, soonMs, toldUpTo } from './outbox.ts'
import { currentEvent, currentState, stateLookup } from './state-at.ts'

const summarisedTypes = [
  'm.room.create',
  'm.room.name',
  'm.room.topic',
  'm.room.canonical_alias',
  'm.room.avatar',
  'm.room.join_rules',
  'm.room.guest_access',
  'm.room.history_visibility',
  'm.room.encryption',
  'm.room.member',
]

/** Whether the row is made of state of this type. */
export function isSummarised(type: string): boolean {
  return summarisedTypes.includes(type)
}

/** Whether D1 knows everything about the room that it should. */
export function indexIsTold(room: RoomContext): boolean {
  return isTold(room, livePosition(room))
}

function isTold(room: RoomContext, upTo: number): boolean {
  const news = room.sql.exec(
    `SELECT 1 FROM state JOIN slots USING (slot)
     WHERE pos > ? AND pos <= ? AND type IN (${summarisedTypes.map(() => '?').join(', ')}) LIMIT 1`,
    toldUpTo(room, sink),
    upTo,
    ...summarisedTypes,
  )
  return news.toArray().length === 0
}

/** Whether the room is in the published room directory. */
export function isPublished(room: RoomContext): boolean {
  return meta(room, 'published') === 1
}

/** Makes everything about the room news to D1 again. Call inside `transact`. */
export function forgetIndex(room: RoomContext): void {
  room.sql.exec('DELETE FROM sinks WHERE name = ?', sink)
  room.told.set(sink, 0)
}

/** Tells D1 before the client is answered where the room is in the directory: its members see what they did. */
export async function tellIndexIfPublished(room: RoomContext): Promise<void> {
  if (findIdentity(room) && isPublished(room)) await tellIndex(room)
}

const writing = new WeakMap<RoomContext, Promise<void>>()

/** Tells D1 everything up to now. Never throws: what fails is left to the alarm. */
export async function tellIndex(room: RoomContext): Promise<void> {
  const upTo = livePosition(room)
  try {
    // One write at a time, so that an older one never comes last.
    while (findIdentity(room) && !isTold(room, upTo)) await (writing.get(room) ?? startWriting(room))
  } catch (error) {
    log({ event: 'index_failed', room_id: identity(room).roomId, error: errorMessage(error) })
    armAlarm(room, soonMs)
  }
}

function startWriting(room: RoomContext): Promise<void> {
  const running = write(room).finally(() => writing.delete(room))
  writing.set(room, running)
  return running
}

const written = new WeakMap<RoomContext, string>()

async function write(room: RoomContext): Promise<void> {
  const row = summary(room)
  // Most changes of member events change nothing that the row tells.
  const text = JSON.stringify({ ...row, position: 0 })
  if (written.get(room) !== text) await writeRoomSummary(room.env, row)
  written.set(room, text)
  // Published or withdrawn meanwhile: then the row must be written again.
  if (isPublished(room) === row.published) acknowledge(room, sink, row.position)
}

/** The room as of now. */
export function summary(room: RoomContext): RoomSummary {
  const content = (type: string): JsonObject | undefined => currentEvent(room, type)?.content
  const name = text(content('m.room.name'), 'name')
  const topic = plainTopic(content('m.room.topic'))
  const canonicalAlias = text(content('m.room.canonical_alias'), 'alias')
  return {
    roomId: identity(room).roomId,
    version: identity(room).rules.id,
    type: text(content('m.room.create'), 'type'),
    name,
    topic,
    canonicalAlias,
    avatarUrl: text(content('m.room.avatar'), 'url'),
    joinRule: joinRuleOf(stateLookup(room, currentState(room))),
    guestCanJoin: text(content('m.room.guest_access'), 'guest_access') === 'can_join',
    worldReadable: text(content('m.room.history_visibility'), 'history_visibility') === 'world_readable',
    encryption: text(content('m.room.encryption'), 'algorithm'),
    joinedMembers: memberCounts(room).joined,
    published: isPublished(room),
    search: searchText([name, topic, canonicalAlias].filter((part) => part !== null).join('\n')),
    position: livePosition(room),
  }
}

function text(content: JsonObject | undefined, key: string): string | null {
  return stringProperty(content, key) || null
}

/** Since v1.15: the text of a topic's `m.topic` that is plain, else its `topic`. */
export function plainTopic(content: JsonObject | undefined): string | null {
  const forms = property(objectProperty(content, 'm.topic'), 'm.text')
  const plain = (Array.isArray(forms) ? forms : [])
    .filter(isJsonObject)
    .find((form) => (property(form, 'mimetype') ?? 'text/plain') === 'text/plain')
  return text(plain, 'body') ?? text(content, 'topic')
}
