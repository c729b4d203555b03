// Cases of power levels events.

import type { Verdict } from '../../../../src/matrix/event.ts'
import type { JsonObject, JsonValue } from '../../../../src/matrix/json.ts'
import type { RoomVersionId } from '../../../../src/matrix/room-version.ts'
import {
  alice,
  all,
  between,
  bob,
  carol,
  fails,
  passes,
  powers,
  room,
  since,
  stateOf,
  upTo,
} from './rule-case.ts'
import type { RuleCase } from './rule-case.ts'

/** Alice, as the first to do so, sets power levels. */
const first = (version: RoomVersionId, content: JsonObject): Verdict =>
  room(version, { powerLevels: null }).judge({ sender: alice, ...stateOf('m.room.power_levels', content) })

/** Bob, who has 50, changes power levels from one content to another. */
function change(version: RoomVersionId, from: JsonObject, to: JsonObject, sender = bob): Verdict {
  return room(version, { powerLevels: from }).judge({ sender, ...stateOf('m.room.power_levels', to) })
}

/** Bob changes one level inside a map, undefined being absence. */
function changeEntry(
  version: RoomVersionId,
  map: 'events' | 'notifications',
  from: JsonValue | undefined,
  to: JsonValue | undefined,
): Verdict {
  const content = (level: JsonValue | undefined) =>
    powers(version, { [map]: level === undefined ? {} : { 'm.x': level } })
  return change(version, content(from), content(to))
}

/** Bob changes one user's level, undefined being absence. */
function changeUser(
  version: RoomVersionId,
  user: string,
  from: number | undefined,
  to: number | undefined,
): Verdict {
  const users = (level: number | undefined): JsonObject => (level === undefined ? {} : { [user]: level })
  return change(version, powers(version, {}, users(from)), powers(version, {}, users(to)))
}

const levelNames = ['users_default', 'events_default', 'state_default', 'ban', 'redact', 'kick', 'invite']

/** Every version with what it cannot read as a level: forms of older versions and what was never one. */
const neverLevels: JsonValue[] = [
  null,
  true,
  [],
  {},
  '',
  'x',
  '1.5',
  '0x10',
  '1e3',
  '1_000',
  '--1',
  'NaN',
  'Infinity',
]
const infinite = [Infinity, -Infinity, NaN, '9'.repeat(400)]

function malformedLevel(value: JsonValue, versions: readonly RoomVersionId[]): RuleCase[] {
  const text = typeof value === 'number' ? String(value) : JSON.stringify(value).slice(0, 12)
  return [
    ...levelNames.map((name) =>
      fails('power-levels-integers', versions, `${name} cannot be ${text}`, (v) =>
        first(v, powers(v, { [name]: value })),
      ),
    ),
    fails('power-levels-maps', versions, `the level of an event type cannot be ${text}`, (v) =>
      first(v, powers(v, { events: { 'm.x': value } })),
    ),
    fails(
      'power-levels-maps',
      between('6', '12').filter((v) => versions.includes(v)),
      `the level of a notification cannot be ${text}`,
      (v) => first(v, powers(v, { notifications: { room: value } })),
    ),
    fails('power-levels-users', versions, `the level of a user cannot be ${text}`, (v) =>
      first(v, powers(v, {}, { [bob]: value })),
    ),
  ]
}

function wellFormedLevel(value: JsonValue, versions: readonly RoomVersionId[]): RuleCase[] {
  const text = JSON.stringify(value)
  return [
    ...levelNames.map((name) =>
      passes('power-levels-integers', versions, `${name} can be ${text}`, (v) =>
        first(v, powers(v, { [name]: value })),
      ),
    ),
    passes('power-levels-maps', versions, `the level of events and notifications can be ${text}`, (v) =>
      first(v, powers(v, { events: { 'm.x': value }, notifications: { room: value } })),
    ),
    passes('power-levels-users', versions, `the level of a user can be ${text}`, (v) =>
      first(v, powers(v, {}, { [bob]: value })),
    ),
  ]
}

export const powerLevelFormCases: readonly RuleCase[] = [
  ...wellFormedLevel(50, all),
  ...wellFormedLevel(-50, all),
  ...wellFormedLevel(' +050 ', upTo('9')),
  ...wellFormedLevel(50.57, upTo('5')),
  ...malformedLevel(' +050 ', since('10')),
  ...malformedLevel('50', since('10')),
  ...malformedLevel(50.57, since('6')),
  ...malformedLevel(2 ** 53, since('6')),
  ...[...neverLevels, ...infinite].flatMap((value) => malformedLevel(value, all)),

  ...[null, 50, '50', [50]].flatMap((value) => [
    fails('power-levels-maps', all, `events cannot be ${JSON.stringify(value)}`, (v) =>
      first(v, powers(v, { events: value })),
    ),
    fails('power-levels-maps', since('6'), `notifications cannot be ${JSON.stringify(value)}`, (v) =>
      first(v, powers(v, { notifications: value })),
    ),
    passes(
      'power-levels-maps',
      upTo('5'),
      `notifications are not looked at before version 6: ${JSON.stringify(value)}`,
      (v) => first(v, powers(v, { notifications: value })),
    ),
    fails('power-levels-users', all, `users cannot be ${JSON.stringify(value)}`, (v) =>
      first(v, { users: value }),
    ),
  ]),
  passes('power-levels-users', all, 'users may be absent', (v) => first(v, {})),
  passes('power-levels-users', all, 'users may be empty', (v) => first(v, { users: {} })),
  fails('power-levels-users', all, 'one user ID does not make up for another key', (v) =>
    first(v, { users: { [bob]: 1, bob: 1 } }),
  ),
  ...['@:c.example', '@Hist orical:c.example', '@x:[::1]:8448'].map((id) =>
    passes('power-levels-users', all, `${id} can have a level`, (v) => first(v, { users: { [id]: 1 } })),
  ),
  ...['', 'bob', '@bob', '#bob:a.example', '@bob:', '__proto__', `@${'b'.repeat(250)}:a.example`].map((id) =>
    fails('power-levels-users', all, `${id.slice(0, 20)} is no user ID`, (v) =>
      first(v, { users: JSON.parse(`{${JSON.stringify(id)}:1}`) as JsonObject }),
    ),
  ),

  passes('power-levels-creators', upTo('11'), 'the creator is listed before version 12', (v) =>
    first(v, { users: { [alice]: 100 } }),
  ),
  passes('power-levels-creators', since('12'), 'users who are not creators are listed', (v) =>
    first(v, { users: { [bob]: 100 } }),
  ),
  fails('power-levels-creators', since('12'), 'the creator cannot be listed', (v) =>
    first(v, { users: { [alice]: 100 } }),
  ),
  fails('power-levels-creators', since('12'), 'an additional creator cannot be listed', (v) =>
    room(v, { create: { additional_creators: [carol] }, powerLevels: null }).judge({
      sender: alice,
      ...stateOf('m.room.power_levels', { users: { [carol]: 0 } }),
    }),
  ),
]

// Bob, of level 50: what he may change a level from, and to. undefined is absence.
const allowedChanges = [
  [undefined, 50],
  [50, undefined],
  [50, 0],
  [49, 50],
] as const

export const powerLevelChangeCases: readonly RuleCase[] = [
  passes('power-levels-property-new', all, 'the first power levels are free', (v) =>
    first(v, powers(v, { ban: 1000, events: { 'm.x': 1000 } }, { [carol]: 1000 })),
  ),
  ...levelNames.flatMap((name) => {
    // The level to send power levels themselves must stay in bob's reach.
    const content = (v: RoomVersionId, level: number | undefined) =>
      powers(v, { events: { 'm.room.power_levels': 50 }, ...(level === undefined ? {} : { [name]: level }) })
    return [
      ...allowedChanges.map(([from, to]) =>
        passes('power-levels-property-current', all, `${name} goes from ${from} to ${to}`, (v) =>
          change(v, content(v, from), content(v, to)),
        ),
      ),
      passes('power-levels-property-new', all, `${name} stays above the sender`, (v) =>
        change(v, content(v, 51), content(v, 51)),
      ),
      fails('power-levels-property-current', all, `${name} above the sender cannot be lowered`, (v) =>
        change(v, content(v, 51), content(v, 50)),
      ),
      fails('power-levels-property-current', all, `${name} above the sender cannot be removed`, (v) =>
        change(v, content(v, 51), content(v, undefined)),
      ),
      fails('power-levels-property-new', all, `${name} cannot be raised above the sender`, (v) =>
        change(v, content(v, 50), content(v, 51)),
      ),
      fails('power-levels-property-new', all, `${name} cannot be added above the sender`, (v) =>
        change(v, content(v, undefined), content(v, 51)),
      ),
    ]
  }),

  ...(['events', 'notifications'] as const).flatMap((map) => {
    const versions = map === 'events' ? all : since('6')
    return [
      ...allowedChanges.map(([from, to]) =>
        passes('power-levels-entry-current', versions, `${map} go from ${from} to ${to}`, (v) =>
          changeEntry(v, map, from, to),
        ),
      ),
      passes('power-levels-entry-new', versions, `${map} stay above the sender`, (v) =>
        changeEntry(v, map, 51, 51),
      ),
      fails('power-levels-entry-current', versions, `${map} above the sender cannot be lowered`, (v) =>
        changeEntry(v, map, 51, 50),
      ),
      fails('power-levels-entry-current', versions, `${map} above the sender cannot be removed`, (v) =>
        changeEntry(v, map, 51, undefined),
      ),
      fails('power-levels-entry-new', versions, `${map} cannot be raised above the sender`, (v) =>
        changeEntry(v, map, 50, 51),
      ),
      fails('power-levels-entry-new', versions, `${map} cannot be added above the sender`, (v) =>
        changeEntry(v, map, undefined, 51),
      ),
    ]
  }),
  passes('power-levels-entry-new', upTo('5'), 'notifications are free before version 6', (v) =>
    changeEntry(v, 'notifications', 51, 100),
  ),
  fails('power-levels-entry-current', all, 'events that disappear as a whole are removed one by one', (v) =>
    change(v, powers(v, { events: { 'm.x': 51 } }), powers(v)),
  ),
  fails('power-levels-entry-new', all, 'an entry named __proto__ is an entry', (v) =>
    change(v, powers(v), powers(v, { events: JSON.parse('{"__proto__":51}') as JsonObject })),
  ),

  passes('power-levels-user-current', all, 'a user below the sender is changed', (v) =>
    changeUser(v, carol, 49, 50),
  ),
  passes('power-levels-user-current', all, 'a user below the sender is removed', (v) =>
    changeUser(v, carol, 49, undefined),
  ),
  passes('power-levels-user-current', all, 'the sender lowers their own level', (v) =>
    changeUser(v, bob, 50, 0),
  ),
  passes('power-levels-user-current', all, 'an equal stays as they are', (v) => changeUser(v, carol, 50, 50)),
  fails('power-levels-user-current', all, 'an equal cannot be lowered', (v) => changeUser(v, carol, 50, 49)),
  fails('power-levels-user-current', all, 'an equal cannot be removed', (v) =>
    changeUser(v, carol, 50, undefined),
  ),
  fails('power-levels-user-current', all, 'a user above the sender cannot be lowered', (v) =>
    changeUser(v, carol, 51, 0),
  ),
  passes('power-levels-user-new', all, 'a user is added at the level of the sender', (v) =>
    changeUser(v, carol, undefined, 50),
  ),
  fails('power-levels-user-new', all, 'a user cannot be added above the sender', (v) =>
    changeUser(v, carol, undefined, 51),
  ),
  fails('power-levels-user-new', all, 'a user cannot be raised above the sender', (v) =>
    changeUser(v, carol, 0, 51),
  ),
  fails('power-levels-user-new', all, 'the sender cannot raise themself', (v) => changeUser(v, bob, 50, 51)),
  passes('power-levels-user-new', since('12'), 'a creator changes whatever they like', (v) =>
    change(
      v,
      powers(v, { ban: 1000, events: { 'm.x': 1000 } }, { [carol]: 1000 }),
      powers(v, { ban: 2000, events: { 'm.x': 2000 } }, { [carol]: 0, [bob]: 3000 }),
      alice,
    ),
  ),

  passes('power-levels-property-new', upTo('9'), 'another form of the same number is no change', (v) =>
    change(v, powers(v, { ban: 51 }, { [carol]: 60 }), powers(v, { ban: ' 051' }, { [carol]: '60' })),
  ),
  passes('power-levels-property-new', upTo('5'), 'the part after the decimal point is no change', (v) =>
    change(v, powers(v, { ban: 51 }), powers(v, { ban: 51.9 })),
  ),
  fails('power-levels-property-new', upTo('9'), 'a level in text counts as the number', (v) =>
    change(v, powers(v), powers(v, { ban: '51' })),
  ),
  fails(
    'power-levels-property-current',
    all,
    'a level above the sender cannot be replaced by its default',
    (v) =>
      change(
        v,
        powers(v, { events_default: 51, events: { 'm.room.power_levels': 50 } }),
        powers(v, { events: { 'm.room.power_levels': 50 } }),
      ),
  ),
]
