// Cases of the rules about create events and about the room an event is in.

import type { Verdict } from '../../../../src/matrix/event.ts'
import { authorise } from '../../../../src/matrix/event-auth/authorise.ts'
import type { JsonObject, JsonValue } from '../../../../src/matrix/json.ts'
import type { RoomVersionId } from '../../../../src/matrix/room-version.ts'
import { createEvent, event, memberEvent, rulesOf, state } from '../../../fixtures/events.ts'
import type { EventFields } from '../../../fixtures/events.ts'
import { alice, all, bob, carol, fails, passes, room, since, stranger, upTo } from './rule-case.ts'
import type { RuleCase } from './rule-case.ts'

const judgeCreate = (version: RoomVersionId, fields: EventFields = {}): Verdict =>
  authorise(rulesOf(version), createEvent(version, fields), state([]))

const judgeContent = (version: RoomVersionId, content: JsonObject): Verdict =>
  judgeCreate(version, { content })

const judgeRawContent = (version: RoomVersionId, content: JsonObject): Verdict =>
  authorise(rulesOf(version), { ...createEvent(version), content }, state([]))

const additional = (creators: JsonValue): JsonObject => ({ additional_creators: creators })

export const createCases: readonly RuleCase[] = [
  passes('create-prev-events', all, 'a create event starts a room', (v) => judgeCreate(v)),
  fails('create-prev-events', all, 'a create event cannot follow another event', (v) =>
    judgeCreate(v, { prev_events: ['$earlier'] }),
  ),

  passes('create-room-id-domain', upTo('11'), 'a server creates a room in its own domain', (v) =>
    judgeCreate(v, { sender: '@x:c.example:8448', room_id: '!r:c.example:8448' }),
  ),
  fails('create-room-id-domain', upTo('11'), 'a server cannot create a room in the domain of another', (v) =>
    judgeCreate(v, { sender: '@x:c.example', room_id: '!r:a.example' }),
  ),
  fails('create-room-id-domain', upTo('11'), 'the port belongs to the domain', (v) =>
    judgeCreate(v, { sender: '@x:c.example:8448', room_id: '!r:c.example' }),
  ),
  fails('create-room-id-domain', upTo('11'), 'a room ID without a domain is of no server', (v) =>
    judgeCreate(v, { room_id: '!hash' }),
  ),
  passes('create-room-id-present', since('12'), 'the room ID follows from the create event', (v) =>
    judgeCreate(v),
  ),
  fails('create-room-id-present', since('12'), 'a create event cannot choose its room ID', (v) =>
    judgeCreate(v, { room_id: '!r:a.example' }),
  ),

  passes('create-room-version', all, 'a room of a known version is created', (v) =>
    judgeContent(v, { room_version: v }),
  ),
  passes('create-room-version', upTo('10'), 'the room version may be absent', (v) =>
    judgeRawContent(v, { creator: alice }),
  ),
  ...['org.example.unknown', '0', '', 'constructor', 6, null, ['1']].map((version) =>
    fails('create-room-version', all, `${JSON.stringify(version)} is no room version`, (v) =>
      judgeContent(v, { room_version: version }),
    ),
  ),

  passes('create-creator', upTo('10'), 'the creator is named', (v) => judgeContent(v, { creator: alice })),
  fails('create-creator', upTo('10'), 'a room without a creator is not created', (v) =>
    judgeRawContent(v, { room_version: v }),
  ),
  passes('create-creator', since('11'), 'the creator is not named since version 11', (v) =>
    judgeRawContent(v, { room_version: v }),
  ),

  ...[[], [bob], ['@:a.example', '@Ümlaut:c.example']].map((creators) =>
    passes('create-additional-creators', since('12'), `${JSON.stringify(creators)} become creators`, (v) =>
      judgeContent(v, additional(creators)),
    ),
  ),
  ...[
    bob,
    null,
    {},
    [bob, 1],
    ['bob'],
    ['@bob'],
    ['@bob:not a server'],
    [`@${'b'.repeat(250)}:a.example`],
  ].map((creators) =>
    fails('create-additional-creators', since('12'), `${JSON.stringify(creators)} are no creators`, (v) =>
      judgeContent(v, additional(creators)),
    ),
  ),
  passes(
    'create-additional-creators',
    upTo('11'),
    'additional creators mean nothing before version 12',
    (v) => judgeContent(v, additional('nonsense')),
  ),
]

export const roomCases: readonly RuleCase[] = [
  passes('room-create-missing', all, 'a member of a created room sends a message', (v) =>
    room(v).judge({ sender: carol }),
  ),
  fails('room-create-missing', all, 'nothing is permitted without a create event', (v) =>
    authorise(rulesOf(v), event({ sender: alice }), state([memberEvent(alice, 'join')])),
  ),

  passes('room-id-create', since('12'), 'an event belongs to the room whose create event names it', (v) =>
    room(v).judge({ sender: alice }),
  ),
  fails('room-id-create', since('12'), 'an event of another room is not judged by this one', (v) =>
    room(v).judge({ sender: alice, room_id: '!room:a.example' }),
  ),
  fails('room-id-create', since('12'), 'the sigil is part of the room ID', (v) => {
    const here = room(v)
    return here.judge({ sender: alice, room_id: here.create.event_id })
  }),

  passes('federate', all, 'a closed room is open to its own server', (v) =>
    room(v, { create: { 'm.federate': false } }).judge({ sender: bob }),
  ),
  fails('federate', all, 'a closed room is closed to other servers', (v) =>
    room(v, { create: { 'm.federate': false } }).judge({ sender: carol }),
  ),
  fails('federate', all, 'nobody of another server joins a closed room', (v) =>
    room(v, { create: { 'm.federate': false }, joinRule: 'public' }).judgeMember(stranger, 'join'),
  ),
  ...[true, 'false', 0, null].map((federate) =>
    passes('federate', all, `m.federate ${JSON.stringify(federate)} leaves the room open`, (v) =>
      room(v, { create: { 'm.federate': federate } }).judge({ sender: carol }),
    ),
  ),
]
