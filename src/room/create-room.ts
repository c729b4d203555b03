// A new room: all its first events in one transaction, in the order of the specification.
// Specification: client-server API, "Creation" (POST /createRoom).

import { MatrixError } from '../errors.ts'
import type { InviteDetails } from '../identity/store-invite.ts'
import type { Event, RoomAlias, RoomId, UserId } from '../matrix/event.ts'
import { authorise } from '../matrix/event-auth/authorise.ts'
import { parseEvent } from '../matrix/event-format.ts'
import { eventIdOf } from '../matrix/event-hash.ts'
import type { JsonObject } from '../matrix/json.ts'
import { roomVersion, type RoomVersionId, type RoomVersionRules } from '../matrix/room-version.ts'
import { appendEvent, transact } from './append.ts'
import { signed, type EventDraft } from './build-event.ts'
import { adoptIdentity, findIdentity, type RoomContext, type Signer } from './context.ts'
import { eventStatus } from './events.ts'
import { checkClientContent } from './client-content.ts'
import { registerLocalUser } from './fan-out.ts'
import { markPublished } from './publish.ts'
import { appendDraft, draftedEvent } from './send-event.ts'
import { thirdPartyInviteDetails } from './store-third-party-invite.ts'

export type Preset = 'private_chat' | 'trusted_private_chat' | 'public_chat'

export interface CreateRoomRequest {
  readonly roomId: RoomId
  readonly roomVersion: RoomVersionId
  readonly creator: UserId
  /** Content of the creator's own member event besides `membership`. */
  readonly creatorProfile: JsonObject
  /** From version 12 on the signed create event, whose hash is the room id; before, its content. */
  readonly create: { readonly pdu: JsonObject } | { readonly content: JsonObject }
  readonly preset: Preset
  readonly powerLevelContentOverride: JsonObject
  readonly alias?: RoomAlias
  readonly initialState: readonly { type: string; state_key: string; content: JsonObject }[]
  readonly name?: string
  readonly topic?: string
  readonly invite: readonly { readonly userId: UserId; readonly profile: JsonObject }[]
  /** Users of other servers who are going to be invited. */
  readonly remoteInvites?: readonly UserId[]
  /** Whether addresses of nobody known are going to be invited. */
  readonly invitesAddresses?: boolean
  readonly isDirect: boolean
  /** Whether the room is in the published room directory from the start. */
  readonly published: boolean
  /** The creator and the invited users of this server, with their Hub shards. */
  readonly localUsers: readonly { readonly userId: UserId; readonly shard: number }[]
}

/**
 * Makes the room. M_ROOM_IN_USE when this object already holds one, M_INVALID_ROOM_STATE (400) when the requested
 * state cannot be set by the creator; nothing is written then. Answers what identity servers may say of a room into which addresses
 * are going to be invited.
 *
 * A policy server has a say once a user of it has joined. Nobody but the creator has here, so that none is to be asked: but for this
 * server where it is named itself, which is no policy server and lets nothing be said after that.
 */
export function createRoom(room: RoomContext, signer: Signer, request: CreateRoomRequest): InviteDetails {
  if (findIdentity(room)) throw new MatrixError('M_ROOM_IN_USE', 400, 'The room already exists')
  const rules = roomVersion(request.roomVersion)
  if (!rules) throw new MatrixError('M_UNSUPPORTED_ROOM_VERSION', 400, 'The room version is not supported')
  return transact(room, () => {
    adoptIdentity(room, { roomId: request.roomId, rules })
    if (request.published) markPublished(room, true)
    for (const { userId, shard } of request.localUsers) registerLocalUser(room, userId, shard)
    appendCreate(room, signer, request, rules)
    for (const draft of drafts(request, rules)) append(room, signer, draft)
    // Nobody gets mail of a room that cannot be made.
    return request.invitesAddresses ? invitable(room, signer, request) : {}
  })
}

/** What identity servers are to know of the room. Throws where the creator could invite no address into it. */
function invitable(room: RoomContext, signer: Signer, { creator }: CreateRoomRequest): InviteDetails {
  const content = { display_name: '', key_validity_url: '', public_key: '' }
  const draft = { type: 'm.room.third_party_invite', sender: creator, state_key: 'rehearsal', content }
  return settable(draft, () => {
    draftedEvent(room, signer, draft)
    return thirdPartyInviteDetails(room, creator)
  })
}

function append(room: RoomContext, signer: Signer, draft: EventDraft): void {
  checkClientContent(room, draft)
  settable(draft, () => appendDraft(room, signer, draft))
}

function settable<R>({ type }: EventDraft, set: () => R): R {
  try {
    return set()
  } catch (error) {
    if (!(error instanceof MatrixError) || error.errcode !== 'M_FORBIDDEN') throw error
    throw new MatrixError('M_INVALID_ROOM_STATE', 400, `${type} cannot be set: ${error.message}`)
  }
}

function appendCreate(
  room: RoomContext,
  signer: Signer,
  request: CreateRoomRequest,
  rules: RoomVersionRules,
): void {
  const event = createEvent(room, signer, request, rules)
  const verdict = authorise(rules, event, () => undefined)
  if (!verdict.ok) throw new MatrixError('M_BAD_JSON', 400, `creation_content: ${verdict.reason}`)
  appendEvent(room, {
    event,
    status: eventStatus.accepted,
    auth: [],
    prev: [],
    before: { base: 0, delta: new Map() },
  })
}

function createEvent(
  room: RoomContext,
  signer: Signer,
  { create, creator, roomId }: CreateRoomRequest,
  rules: RoomVersionRules,
): Event {
  if ('pdu' in create) {
    const eventId = eventIdOf(create.pdu, rules)
    if (`!${eventId.slice(1)}` !== roomId) throw new Error('the create event is not the one of this room')
    return parseEvent(create.pdu, rules, eventId)
  }
  const fields: JsonObject = {
    type: 'm.room.create',
    state_key: '',
    sender: creator,
    room_id: roomId,
    content: create.content,
    origin_server_ts: room.now(),
    depth: 1,
    auth_events: [],
    prev_events: [],
  }
  // Versions 1 and 2 carry their id.
  if (rules.eventId === 'field') fields['event_id'] = `$create${roomId.slice(1)}`
  return signed(room, signer, fields)
}

function drafts(request: CreateRoomRequest, rules: RoomVersionRules): EventDraft[] {
  const { creator } = request
  const state = (type: string, content: JsonObject, stateKey = ''): EventDraft => ({
    type,
    sender: creator,
    state_key: stateKey,
    content,
  })
  return [
    state('m.room.member', { ...request.creatorProfile, membership: 'join' }, creator),
    state('m.room.power_levels', powerLevels(request, rules)),
    ...(request.alias === undefined ? [] : [state('m.room.canonical_alias', { alias: request.alias })]),
    ...withoutOverridden(request, presetState(request.preset)).map(([type, content]) => state(type, content)),
    ...request.initialState
      .filter(({ type, state_key: key }) => !(key === '' && isImplied(request, type)))
      .map(({ type, state_key: key, content }) => state(type, content, key)),
    ...(request.name === undefined ? [] : [state('m.room.name', { name: request.name })]),
    ...(request.topic === undefined ? [] : [state('m.room.topic', topicContent(request.topic))]),
    ...request.invite.map(({ userId, profile }) =>
      state(
        'm.room.member',
        { ...profile, membership: 'invite', ...(request.isDirect ? { is_direct: true } : {}) },
        userId,
      ),
    ),
  ]
}

// `name` and `topic` overwrite what `initial_state` says.
function isImplied({ name, topic }: CreateRoomRequest, type: string): boolean {
  return (type === 'm.room.name' && name !== undefined) || (type === 'm.room.topic' && topic !== undefined)
}

/** The content of a plain topic, with its text repeated in the extensible form of v1.15. */
export function topicContent(topic: string): JsonObject {
  return { topic, 'm.topic': { 'm.text': [{ body: topic }] } }
}

function presetState(preset: Preset): [type: string, content: JsonObject][] {
  const isPublic = preset === 'public_chat'
  return [
    ['m.room.join_rules', { join_rule: isPublic ? 'public' : 'invite' }],
    ['m.room.history_visibility', { history_visibility: 'shared' }],
    // A room without the event is closed to guests: that of a public chat would say the same.
    ...(isPublic
      ? []
      : [['m.room.guest_access', { guest_access: 'can_join' }] satisfies [string, JsonObject]]),
  ]
}

// Initial state takes precedence over the preset.
function withoutOverridden({ initialState }: CreateRoomRequest, preset: [string, JsonObject][]) {
  return preset.filter(
    ([type]) => !initialState.some((event) => event.type === type && event.state_key === ''),
  )
}

function powerLevels(request: CreateRoomRequest, rules: RoomVersionRules): JsonObject {
  const users: JsonObject = {}
  // Since v12 creators have infinite power and may not be listed.
  if (!rules.privilegedCreators) {
    users[request.creator] = 100
    // All invitees of a trusted private chat get the power level of the creator.
    if (request.preset === 'trusted_private_chat') {
      const invited = request.invite.map(({ userId }) => userId)
      for (const userId of [...invited, ...(request.remoteInvites ?? [])]) users[userId] = 100
    }
  }
  return {
    users,
    users_default: 0,
    events: {
      'm.room.name': 50,
      'm.room.avatar': 50,
      'm.room.canonical_alias': 50,
      'm.room.power_levels': 100,
      'm.room.history_visibility': 100,
      'm.room.encryption': 100,
      'm.room.server_acl': 100,
      // Since v12 the level for tombstones must lie above `state_default`, out of the reach of ordinary admins.
      'm.room.tombstone': rules.privilegedCreators ? 150 : 100,
    },
    events_default: 0,
    state_default: 50,
    ban: 50,
    kick: 50,
    redact: 50,
    // Anyone may invite into a private chat; into a public one nobody needs to be invited.
    invite: request.preset === 'public_chat' ? 50 : 0,
    ...request.powerLevelContentOverride,
  }
}
