// Cases of the rules about what an event cites.

import type { Event, Verdict } from '../../../../src/matrix/event.ts'
import { checkAuthEvents } from '../../../../src/matrix/event-auth/auth-events.ts'
import type { RoomVersionId } from '../../../../src/matrix/room-version.ts'
import { createEvent, event, memberEvent, rulesOf } from '../../../fixtures/events.ts'
import { alice, all, bob, carol, fails, passes, since, upTo } from './rule-case.ts'
import type { RuleCase } from './rule-case.ts'

interface Cited {
  readonly create: Event
  readonly powerLevels: Event
  readonly member: Event
}

/** What a message of alice cites in a room of a version, ready to be cited otherwise. */
function cited(version: RoomVersionId): Cited {
  const create = createEvent(version)
  const inRoom = { room_id: create.room_id }
  return {
    create,
    powerLevels: event({ ...inRoom, type: 'm.room.power_levels', state_key: '' }),
    member: memberEvent(alice, 'join', inRoom),
  }
}

interface Citation {
  readonly authEvents?: (normal: Event[], cited: Cited) => Event[]
  readonly known?: (normal: Event[]) => Event[]
  readonly rejected?: (cited: Cited) => Event
}

/** The verdict on what a message of alice cites; the normal selection if nothing else is said. */
function cite(version: RoomVersionId, { authEvents, known, rejected }: Citation = {}): Verdict {
  const rules = rulesOf(version)
  const all = cited(version)
  const normal = [...(rules.roomIdIsCreateHash ? [] : [all.create]), all.powerLevels, all.member]
  const chosen = authEvents?.(normal, all) ?? normal
  const message = event({ room_id: all.create.room_id, sender: alice, auth_events: chosen })
  const entries = (known?.(chosen) ?? chosen).map((one) => ({
    event: one,
    rejected: one === rejected?.(all),
  }))
  return checkAuthEvents(rules, message, entries)
}

export const authEventCases: readonly RuleCase[] = [
  passes('auth-events-unknown', all, 'all that is cited is known, and more', (v) =>
    cite(v, { known: (normal) => [...normal, memberEvent(bob, 'join')] }),
  ),
  fails('auth-events-unknown', all, 'an unknown auth event is not taken for granted', (v) =>
    cite(v, { known: (normal) => normal.slice(1) }),
  ),

  passes('auth-events-duplicate', all, 'each slot is cited once', (v) => cite(v)),
  fails('auth-events-duplicate', all, 'two events of one slot cannot both be cited', (v) =>
    cite(v, {
      authEvents: (normal, { create }) => [
        ...normal,
        memberEvent(alice, 'join', { room_id: create.room_id, depth: 9 }),
      ],
    }),
  ),
  fails('auth-events-duplicate', all, 'one event cannot be cited twice', (v) =>
    cite(v, { authEvents: (normal, { member }) => [...normal, member] }),
  ),

  passes('auth-events-selection', all, 'the selection of a message is cited', (v) => cite(v)),
  passes('auth-events-selection', all, 'less than the selection may be cited', (v) =>
    cite(v, { authEvents: (normal, { member }) => normal.filter((one) => one !== member) }),
  ),
  fails('auth-events-selection', all, 'the membership of someone else is not cited', (v) =>
    cite(v, {
      authEvents: (normal, { create }) => [
        ...normal,
        memberEvent(carol, 'join', { room_id: create.room_id }),
      ],
    }),
  ),
  fails('auth-events-selection', all, 'a message is not cited', (v) =>
    cite(v, { authEvents: (normal, { create }) => [...normal, event({ room_id: create.room_id })] }),
  ),
  fails('auth-events-selection', all, 'an event of the right type without a state key is not cited', (v) =>
    cite(v, {
      authEvents: ([, ...normal], { create }) => [
        ...normal,
        event({ room_id: create.room_id, type: 'm.room.power_levels' }),
      ],
    }),
  ),
  fails('auth-events-selection', since('12'), 'the create event is not cited since version 12', (v) =>
    cite(v, { authEvents: (normal, { create }) => [...normal, create] }),
  ),

  passes('auth-events-rejected', all, 'accepted events are cited', (v) => cite(v)),
  fails('auth-events-rejected', all, 'a rejected event gives no permission', (v) =>
    cite(v, { rejected: ({ member }) => member }),
  ),

  passes('auth-events-create', all, 'the create event is cited, where it has to be', (v) => cite(v)),
  fails('auth-events-create', upTo('11'), 'the create event must be cited up to version 11', (v) =>
    cite(v, { authEvents: (normal, { create }) => normal.filter((one) => one !== create) }),
  ),
  fails('auth-events-create', upTo('11'), 'citing nothing is not enough', (v) =>
    cite(v, { authEvents: () => [] }),
  ),
  passes(
    'auth-events-create',
    since('12'),
    'citing nothing is enough when the room ID names the create event',
    (v) => cite(v, { authEvents: () => [] }),
  ),
  passes('auth-events-create', all, 'a create event cites nothing', (v) =>
    checkAuthEvents(rulesOf(v), createEvent(v), []),
  ),

  passes('auth-events-room', all, 'events of the same room are cited', (v) => cite(v)),
  fails('auth-events-room', all, 'MSC4307: power levels of another room give no power', (v) =>
    cite(v, {
      authEvents: (normal, { powerLevels }) => [
        ...normal.filter((one) => one !== powerLevels),
        event({ room_id: '!other:a.example', type: 'm.room.power_levels', state_key: '' }),
      ],
    }),
  ),
]
