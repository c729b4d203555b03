// Cases of state keyed by users in the room versions of MSC3757, where a user may have more than one key.

import type { Verdict } from '../../../../src/matrix/event.ts'
import { unstableRoomVersionIds } from '../../../../src/matrix/room-version.ts'
import type { RoomVersionId } from '../../../../src/matrix/room-version.ts'
import { alice, bob, carol, fails, passes, powers, room, type RuleCase, stranger } from './rule-case.ts'

const owned = unstableRoomVersionIds

const set = (version: RoomVersionId, sender: string, stateKey: string): Verdict =>
  room(version, { powerLevels: powers(version, { state_default: 0 }, { '@dora:a.example': 50 }) }).judge({
    sender,
    type: 'org.example.status',
    state_key: stateKey,
  })

const longestSuffix = `_${'x'.repeat(255)}`

export const ownedStateCases: readonly RuleCase[] = [
  passes('state-key-owner', owned, 'a user sets state keyed by their own ID', (v) => set(v, carol, carol)),
  passes('state-key-owner', owned, 'a user sets state keyed by their own ID and more', (v) =>
    set(v, carol, `${carol}_any thing: @!#_`),
  ),
  passes('state-key-owner', owned, 'an ID may have an underscore and a port', (v) =>
    set(v, alice, '@ca_rol:c.example:8448_1'),
  ),
  fails('state-key-owner', owned, 'no creator sets state keyed by half an ID', (v) => set(v, alice, '@oops')),
  fails('state-key-owner', owned, 'no creator sets state keyed by half an ID and more', (v) =>
    set(v, alice, '@oops_1'),
  ),
  fails('state-key-owner', owned, 'an underscore must follow the ID', (v) => set(v, alice, `${alice}@1`)),
  fails('state-key-owner', owned, 'an ID has no underscore for a server', (v) =>
    set(v, alice, '@carol:_c.example'),
  ),

  passes('state-key-level', owned, 'a moderator sets the state of a user with less power', (v) =>
    set(v, bob, `${carol}_1`),
  ),
  passes('state-key-level', owned, 'a moderator sets the state of somebody who is not there', (v) =>
    set(v, bob, stranger),
  ),
  fails('state-key-level', owned, 'a moderator does not set the state of another', (v) =>
    set(v, bob, '@dora:a.example'),
  ),
  fails('state-key-level', owned, 'a user does not set the state of another', (v) =>
    set(v, carol, `${stranger}_1`),
  ),
  // Somebody of a server whose name goes on where that of the user ends.
  fails('state-key-level', owned, 'an ID is not another that it begins like', (v) =>
    set(v, carol, `${carol}.net_1`),
  ),

  passes('state-key-size', owned, 'the key of a user is as long as keys may be, and the separator', (v) =>
    set(v, carol, `${carol}${longestSuffix}`),
  ),
  fails('state-key-size', owned, 'the key of a user is no longer than that', (v) =>
    set(v, carol, `${carol}${longestSuffix}x`),
  ),
  passes('state-key-size', owned, 'a key of nobody has 255 bytes', (v) => set(v, carol, 'x'.repeat(255))),
  fails('state-key-size', owned, 'a key of nobody has no more than 255 bytes', (v) =>
    set(v, carol, 'x'.repeat(256)),
  ),
]
