// Cases of events that are not about membership or power levels: aliases, third-party invites, redactions, the rest.

import type { Verdict } from '../../../../src/matrix/event.ts'
import type { JsonObject } from '../../../../src/matrix/json.ts'
import type { RoomVersionId } from '../../../../src/matrix/room-version.ts'
import type { EventFields } from '../../../fixtures/events.ts'
import {
  alice,
  all,
  banned,
  bob,
  carol,
  fails,
  invited,
  knocking,
  left,
  passes,
  powers,
  room,
  since,
  stateOf,
  stranger,
  upTo,
} from './rule-case.ts'
import type { RuleCase } from './rule-case.ts'

const send = (version: RoomVersionId, fields: EventFields, levels: JsonObject = {}): Verdict =>
  room(version, { powerLevels: powers(version, levels) }).judge(fields)

const aliases = (sender: string, stateKey?: string): EventFields => ({
  type: 'm.room.aliases',
  sender,
  ...(stateKey === undefined ? {} : { state_key: stateKey }),
})

const thirdPartyInvite = (sender: string): EventFields => ({
  type: 'm.room.third_party_invite',
  state_key: 'token',
  sender,
})

const redaction = (sender: string, redacts: string, eventId: string): EventFields => ({
  type: 'm.room.redaction',
  sender,
  redacts,
  event_id: eventId,
})

export const otherCases: readonly RuleCase[] = [
  passes('aliases-state-key', upTo('5'), 'a server sets its aliases without being in the room', (v) =>
    send(v, aliases(stranger, 'c.example')),
  ),
  fails('aliases-state-key', upTo('5'), 'aliases need a state key', (v) => send(v, aliases(alice))),
  passes('aliases-sender-domain', upTo('5'), 'a user without power sets the aliases of their server', (v) =>
    send(v, aliases(carol, 'c.example')),
  ),
  fails('aliases-sender-domain', upTo('5'), 'nobody sets the aliases of another server', (v) =>
    send(v, aliases(alice, 'c.example')),
  ),
  fails(
    'sender-membership',
    since('6'),
    'aliases are state like any other since version 6: membership',
    (v) => send(v, aliases(stranger, 'c.example')),
  ),
  fails('event-level', since('6'), 'aliases are state like any other since version 6: power', (v) =>
    send(v, aliases(carol, 'c.example')),
  ),
  passes('aliases-sender-domain', since('6'), 'any state key does for aliases since version 6', (v) =>
    send(v, aliases(bob, 'c.example')),
  ),

  passes('sender-membership', all, 'a joined user sends a message', (v) => send(v, { sender: carol })),
  ...[invited, left, banned, stranger].map((sender) =>
    fails('sender-membership', all, `${sender} is not joined and cannot send`, (v) => send(v, { sender })),
  ),
  fails('sender-membership', since('7'), 'who knocked cannot send', (v) => send(v, { sender: knocking })),
  fails('sender-membership', since('12'), 'a creator who is not joined cannot send', (v) =>
    room(v, { create: { additional_creators: [stranger] } }).judge({ sender: stranger }),
  ),

  passes('third-party-invite-level', all, 'the invite level suffices, whatever events says', (v) =>
    send(v, thirdPartyInvite(bob), { invite: 50, events: { 'm.room.third_party_invite': 100 } }),
  ),
  passes('third-party-invite-level', all, 'anyone invites third parties by default', (v) =>
    send(v, thirdPartyInvite(carol)),
  ),
  fails('third-party-invite-level', all, 'who may not invite invites no third party', (v) =>
    send(v, thirdPartyInvite(bob), { invite: 51, events: { 'm.room.third_party_invite': 0 } }),
  ),

  passes('event-level', all, 'a message needs events_default', (v) =>
    send(v, { sender: bob }, { events_default: 50 }),
  ),
  fails('event-level', all, 'who is below events_default cannot send a message', (v) =>
    send(v, { sender: bob }, { events_default: 51 }),
  ),
  passes('event-level', all, 'a state event needs state_default', (v) =>
    send(v, { sender: bob, ...stateOf('m.room.topic', {}) }, { state_default: 50 }),
  ),
  fails('event-level', all, 'who is below state_default cannot set state', (v) =>
    send(v, { sender: bob, ...stateOf('m.room.topic', {}) }, { state_default: 51 }),
  ),
  fails('event-level', all, 'state needs 50 by default', (v) =>
    send(v, { sender: carol, ...stateOf('m.room.topic', {}) }),
  ),
  passes('event-level', all, 'events lowers what a type needs', (v) =>
    send(v, { sender: carol, ...stateOf('m.room.topic', {}) }, { events: { 'm.room.topic': 0 } }),
  ),
  fails('event-level', all, 'events raises what a type needs', (v) =>
    send(v, { sender: bob, ...stateOf('m.room.topic', {}) }, { events: { 'm.room.topic': 51 } }),
  ),
  fails('event-level', all, 'without power levels state needs 50', (v) =>
    room(v, { powerLevels: null }).judge({ sender: bob, ...stateOf('m.room.topic', {}) }),
  ),
  passes('event-level', all, 'without power levels the creator sets state', (v) =>
    room(v, { powerLevels: null }).judge({ sender: alice, ...stateOf('m.room.topic', {}) }),
  ),
  passes('event-level', since('12'), 'a creator sends what nobody else may', (v) =>
    send(v, { sender: alice }, { events_default: Number.MAX_SAFE_INTEGER }),
  ),
  passes('event-level', all, 'a type named like a property of objects has no level of its own', (v) =>
    send(v, { sender: carol, type: 'constructor' }),
  ),

  passes('state-key-sender', all, 'a user sets state keyed by their own ID', (v) =>
    send(v, { sender: bob, type: 'org.example.status', state_key: bob }),
  ),
  fails('state-key-sender', all, 'nobody sets state keyed by the ID of another user', (v) =>
    send(v, { sender: alice, type: 'org.example.status', state_key: bob }),
  ),
  fails('state-key-sender', all, 'a state key that only starts like a user ID is out of reach', (v) =>
    send(v, { sender: bob, type: 'org.example.status', state_key: `${bob}_suffix` }),
  ),
]

export const redactionCases: readonly RuleCase[] = [
  passes('redaction-level', upTo('2'), 'a moderator redacts an event of another server', (v) =>
    send(v, redaction(bob, '$1:c.example', '$2:a.example')),
  ),
  passes('redaction-level', upTo('2'), 'a user redacts an event of their server', (v) =>
    send(v, redaction(carol, '$1:c.example', '$2:c.example')),
  ),
  fails('redaction-level', upTo('2'), 'a user without power cannot redact an event of another server', (v) =>
    send(v, redaction(carol, '$1:a.example', '$2:c.example')),
  ),
  fails('redaction-level', upTo('2'), 'the redact level counts', (v) =>
    send(v, redaction(bob, '$1:c.example', '$2:a.example'), { redact: 51 }),
  ),
  fails('redaction-level', upTo('2'), 'IDs without a domain are not of the same server', (v) =>
    send(v, redaction(carol, '$1', '$2')),
  ),
  fails('redaction-level', upTo('2'), 'a redaction of nothing needs the power all the same', (v) =>
    send(v, { type: 'm.room.redaction', sender: carol, event_id: '$2:c.example' }),
  ),
  passes('redaction-level', since('3'), 'a redaction is judged when it is applied since version 3', (v) =>
    send(v, redaction(carol, '$1:a.example', '$2')),
  ),
  fails('event-level', all, 'a redaction needs the level of its type', (v) =>
    send(v, redaction(bob, '$1:a.example', '$2:a.example'), { events: { 'm.room.redaction': 51 } }),
  ),
]
