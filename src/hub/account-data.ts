// Account data, global (rid 0) and of rooms; tags are the room account data `m.tag`.
// Specification: client-server API, "Client Config", "Room Tagging", "Push Rules: Events".

import type { UserId } from '../matrix/event.ts'
import { isJsonObject, type JsonObject, objectProperty, property } from '../matrix/json.ts'
import { noStoredRules, rulesetOf, type StoredPushRules } from '../matrix/push-rules/ruleset.ts'
import { type HubContext, nextPosition } from './context.ts'
import { userIdOf } from './interned.ts'

/** The room number of account data that belongs to no room. */
export const globalRid = 0

const pushRulesType = 'm.push_rules'
const tagType = 'm.tag'

/** A piece of account data; `content` is JSON text. */
export interface AccountData {
  readonly type: string
  readonly content: string
}

/** Stores account data at a new position, also when nothing about it changed. */
export function putAccountData(
  hub: HubContext,
  uid: number,
  rid: number,
  { type, content }: AccountData,
): void {
  hub.sql.exec(
    `INSERT INTO account_data (uid, rid, type, content, pos) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (uid, rid, type) DO UPDATE SET content = excluded.content, pos = excluded.pos`,
    uid,
    rid,
    type,
    content,
    nextPosition(hub),
  )
}

/** The content of account data as JSON text. There always are push rules. */
export function getAccountData(hub: HubContext, uid: number, rid: number, type: string): string | undefined {
  const stored = storedContent(hub, uid, rid, type)
  return rid === globalRid && type === pushRulesType ? pushRulesContent(userIdOf(hub, uid), stored) : stored
}

/** Global account data that changed after `since` and up to `upTo`, oldest first. 0: all there is. */
export function globalAccountDataSince(
  hub: HubContext,
  uid: number,
  since: number,
  upTo: number,
): AccountData[] {
  const rows = changedRows(hub, uid, since, upTo, 'rid = 0').map(({ type, content }) => ({
    type,
    content: type === pushRulesType ? pushRulesContent(userIdOf(hub, uid), content) : content,
  }))
  if (since > 0 || rows.some(({ type }) => type === pushRulesType)) return rows
  const rules = storedContent(hub, uid, globalRid, pushRulesType)
  return [{ type: pushRulesType, content: pushRulesContent(userIdOf(hub, uid), rules) }, ...rows]
}

/** Account data of rooms that changed after `since` and up to `upTo`, oldest first. 0: all there is. */
export function roomAccountDataSince(
  hub: HubContext,
  uid: number,
  since: number,
  upTo: number,
): (AccountData & { readonly rid: number })[] {
  return changedRows(hub, uid, since, upTo, 'rid <> 0')
}

/** Sets a tag of a room, given as JSON text, or removes it. Answers false when there was nothing to remove. */
export function putTag(hub: HubContext, uid: number, rid: number, tag: string, content?: string): boolean {
  const stored = storedContent(hub, uid, rid, tagType)
  const old: unknown = stored === undefined ? {} : JSON.parse(stored)
  const tagged = (isJsonObject(old) ? objectProperty(old, 'tags') : undefined) ?? {}
  if (content === undefined && property(tagged, tag) === undefined) return false
  const { [tag]: _, ...others } = tagged
  const tags: JsonObject = content === undefined ? others : { ...others, [tag]: JSON.parse(content) }
  putAccountData(hub, uid, rid, { type: tagType, content: JSON.stringify({ tags }) })
  return true
}

/** Deletes all account data of a user. */
export function eraseAccountData(hub: HubContext, uid: number): void {
  hub.sql.exec('DELETE FROM account_data WHERE uid = ?', uid)
  // Positions are counted on from the highest in the tables: none may be given out twice.
  putAccountData(hub, uid, globalRid, { type: '', content: '{}' })
}

function storedContent(hub: HubContext, uid: number, rid: number, type: string): string | undefined {
  return hub.sql
    .exec<{ content: string }>(
      'SELECT content FROM account_data WHERE uid = ? AND rid = ? AND type = ?',
      uid,
      rid,
      type,
    )
    .toArray()[0]?.content
}

function changedRows(
  hub: HubContext,
  uid: number,
  since: number,
  upTo: number,
  where: 'rid = 0' | 'rid <> 0',
): { rid: number; type: string; content: string }[] {
  // A first sync reads what the user has, a later one what the shard was told since: both are short.
  const index = since === 0 ? '' : 'INDEXED BY account_data_pos'
  return hub.sql
    .exec<{ rid: number; type: string; content: string }>(
      `SELECT rid, type, content FROM account_data ${index}
       WHERE pos > ? AND pos <= ? AND uid = ? AND ${where} ORDER BY pos`,
      since,
      upTo,
      uid,
    )
    .toArray()
}

// Stored is what the user changed; clients are told all rules that hold.
function pushRulesContent(userId: UserId, stored: string | undefined): string {
  const rules: StoredPushRules = stored === undefined ? noStoredRules : JSON.parse(stored)
  return JSON.stringify({ global: rulesetOf(userId, rules) })
}
