// Account data, global (rid 0) and of rooms; tags are the room account data `m.tag`.
// Specification: client-server API, "Client Config", "Room Tagging", "Push Rules: Events".

import { isJsonObject, type JsonObject, objectProperty, property } from '../matrix/json.ts'
import type { PushRuleset } from '../matrix/push-rules/push-rule.ts'
import { noStoredRules, rulesetOf, type StoredPushRules } from '../matrix/push-rules/ruleset.ts'
import { type HubContext, nextPosition } from './context.ts'
import { userIdOf } from './interned.ts'

/** The room number of account data that belongs to no room. */
export const globalRid = 0

/** Stored as what the user changed: StoredPushRules. */
export const pushRulesType = 'm.push_rules'
const tagType = 'm.tag'
/** What was removed (MSC3391) stays as this, so that other devices are told. */
export const removed = '{}'

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
  if (rid === globalRid) remembered(hub).delete(uid)
}

/** The content of account data as JSON text; undefined for what is not there, or was removed. There always are push rules. */
export function getAccountData(hub: HubContext, uid: number, rid: number, type: string): string | undefined {
  if (rid === globalRid && type === pushRulesType) return pushRulesContent(hub, uid)
  const content = storedContent(hub, uid, rid, type)
  return content === removed ? undefined : content
}

/** What a user changed about push rules. */
export function storedPushRules(hub: HubContext, uid: number): StoredPushRules {
  const stored = storedContent(hub, uid, globalRid, pushRulesType)
  // Written by `push-rules.ts` alone.
  return stored === undefined ? noStoredRules : (JSON.parse(stored) as StoredPushRules)
}

/** The push rules that hold for a user. */
export function pushRulesetOf(hub: HubContext, uid: number): PushRuleset {
  return forEvents(hub, uid).ruleset
}

/** The users that a user ignores. */
export function ignoredUsers(hub: HubContext, uid: number): readonly string[] {
  return forEvents(hub, uid).ignored
}

/** The account data that each event is held against: kept in memory, for each event asks it of each member. */
interface ForEvents {
  readonly ruleset: PushRuleset
  readonly ignored: readonly string[]
}

const caches = new WeakMap<HubContext, Map<number, ForEvents>>()
const rememberedUsers = 10_000

function remembered(hub: HubContext): Map<number, ForEvents> {
  const known = caches.get(hub)
  if (known && known.size < rememberedUsers) return known
  const fresh = new Map<number, ForEvents>()
  caches.set(hub, fresh)
  return fresh
}

function forEvents(hub: HubContext, uid: number): ForEvents {
  const known = remembered(hub).get(uid)
  if (known) return known
  const read = {
    ruleset: rulesetOf(userIdOf(hub, uid), storedPushRules(hub, uid)),
    ignored: ignoredIn(storedContent(hub, uid, globalRid, 'm.ignored_user_list')),
  }
  remembered(hub).set(uid, read)
  return read
}

function ignoredIn(text: string | undefined): readonly string[] {
  const content: unknown = text === undefined ? undefined : JSON.parse(text)
  return Object.keys((isJsonObject(content) ? objectProperty(content, 'ignored_users') : undefined) ?? {})
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
    content: type === pushRulesType ? pushRulesContent(hub, uid) : content,
  }))
  if (since > 0 || rows.some(({ type }) => type === pushRulesType)) return rows
  return [{ type: pushRulesType, content: pushRulesContent(hub, uid) }, ...rows]
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

// MSC3890, which is not in the specification: settings of one device, in the account data of its user.
const deviceSettings = ['m.local_notification_settings.', 'org.matrix.msc3890.local_notification_settings.']

/** Removes what the user keeps about a device that is gone. */
export function removeDeviceSettings(hub: HubContext, uid: number, deviceId: string): void {
  for (const prefix of deviceSettings) {
    const type = `${prefix}${deviceId}`
    if (getAccountData(hub, uid, globalRid, type) === undefined) continue
    putAccountData(hub, uid, globalRid, { type, content: removed })
  }
}

/** Deletes all account data of a user. */
export function eraseAccountData(hub: HubContext, uid: number): void {
  hub.sql.exec('DELETE FROM account_data WHERE uid = ?', uid)
  // Positions are counted on from the highest in the tables: none may be given out twice.
  putAccountData(hub, uid, globalRid, { type: '', content: removed })
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
       WHERE pos > ? AND pos <= ? AND uid = ? AND ${where} AND (? > 0 OR content <> '${removed}') ORDER BY pos`,
      since,
      upTo,
      uid,
      since,
    )
    .toArray()
}

// Stored is what the user changed; clients are told all rules that hold.
function pushRulesContent(hub: HubContext, uid: number): string {
  return JSON.stringify({ global: pushRulesetOf(hub, uid) })
}
