// Cases of leaving, kicking, lifting a ban, and banning.

import type { Verdict } from '../../../../src/matrix/event.ts'
import type { JsonObject } from '../../../../src/matrix/json.ts'
import type { RoomVersionId } from '../../../../src/matrix/room-version.ts'
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
  stranger,
  upTo,
} from './rule-case.ts'
import type { RuleCase } from './rule-case.ts'

function remove(
  version: RoomVersionId,
  membership: 'leave' | 'ban',
  target: string,
  sender: string,
  powerLevels?: JsonObject,
): Verdict {
  return room(version, powerLevels === undefined ? {} : { powerLevels }).judgeMember(target, membership, {
    sender,
  })
}

export const leaveCases: readonly RuleCase[] = [
  ...[carol, invited].map((user) =>
    passes('leave-own-membership', all, `${user} leaves`, (v) => remove(v, 'leave', user, user)),
  ),
  passes('leave-own-membership', since('7'), 'a knock is taken back', (v) =>
    remove(v, 'leave', knocking, knocking),
  ),
  fails('leave-own-membership', upTo('6'), 'there is no knock to take back before version 7', (v) =>
    room(v, {
      more: [{ type: 'm.room.member', state_key: knocking, content: { membership: 'knock' } }],
    }).judgeMember(knocking, 'leave'),
  ),
  ...[banned, left, stranger].map((user) =>
    fails('leave-own-membership', all, `${user} has nothing to leave`, (v) => remove(v, 'leave', user, user)),
  ),

  passes('leave-sender-membership', all, 'a joined moderator kicks', (v) => remove(v, 'leave', carol, bob)),
  ...[invited, left, banned, stranger].map((sender) =>
    fails('leave-sender-membership', all, `${sender} is not joined and cannot kick`, (v) =>
      remove(v, 'leave', carol, sender, powers(v, {}, { [sender]: 60 })),
    ),
  ),

  passes('leave-unban-level', all, 'who may ban and kick lifts a ban', (v) =>
    remove(v, 'leave', banned, bob, powers(v, { ban: 50, kick: 50 })),
  ),
  fails('leave-unban-level', all, 'who may kick but not ban cannot lift a ban', (v) =>
    remove(v, 'leave', banned, bob, powers(v, { ban: 51, kick: 50 })),
  ),

  passes('leave-kick-level', all, 'a moderator removes an invited user', (v) =>
    remove(v, 'leave', invited, bob),
  ),
  passes('leave-kick-level', all, 'the ban level does not matter for a kick', (v) =>
    remove(v, 'leave', carol, bob, powers(v, { ban: 51 })),
  ),
  fails('leave-kick-level', all, 'who may ban but not kick cannot lift a ban', (v) =>
    remove(v, 'leave', banned, bob, powers(v, { ban: 50, kick: 51 })),
  ),
  fails('leave-kick-level', all, 'who is below the kick level cannot kick', (v) =>
    remove(v, 'leave', carol, bob, powers(v, { kick: 51 })),
  ),
  fails('leave-kick-level', all, 'an equal cannot be kicked', (v) =>
    remove(v, 'leave', carol, bob, powers(v, {}, { [carol]: 50 })),
  ),
  passes('leave-kick-level', all, 'the creator kicks a moderator', (v) => remove(v, 'leave', bob, alice)),
  fails('leave-kick-level', all, 'a moderator cannot kick the creator', (v) =>
    remove(v, 'leave', alice, bob),
  ),
  fails('leave-kick-level', since('12'), 'a creator cannot kick another creator', (v) =>
    room(v, { create: { additional_creators: [carol] } }).judgeMember(carol, 'leave', { sender: alice }),
  ),
  fails('leave-kick-level', since('12'), 'no level is above that of a creator', (v) =>
    remove(v, 'leave', alice, bob, powers(v, {}, { [bob]: Number.MAX_SAFE_INTEGER })),
  ),
  passes('leave-kick-level', upTo('11'), 'the creator can be kicked by a user of a higher level', (v) =>
    remove(v, 'leave', alice, bob, powers(v, {}, { [bob]: 101 })),
  ),
]

export const banCases: readonly RuleCase[] = [
  passes('ban-sender-membership', all, 'a joined moderator bans', (v) => remove(v, 'ban', stranger, bob)),
  ...[invited, left, banned, stranger].map((sender) =>
    fails('ban-sender-membership', all, `${sender} is not joined and cannot ban`, (v) =>
      remove(v, 'ban', carol, sender, powers(v, {}, { [sender]: 60 })),
    ),
  ),
  passes('ban-level', all, 'who has the ban level bans', (v) =>
    remove(v, 'ban', carol, bob, powers(v, { ban: 50, kick: 100 })),
  ),
  fails('ban-level', all, 'who is below the ban level cannot ban', (v) =>
    remove(v, 'ban', carol, bob, powers(v, { ban: 51, kick: 0 })),
  ),
  fails('ban-level', all, 'an equal cannot be banned', (v) =>
    remove(v, 'ban', carol, bob, powers(v, {}, { [carol]: 50 })),
  ),
  fails('ban-level', all, 'a user cannot ban themself', (v) => remove(v, 'ban', bob, bob)),
  fails('ban-level', all, 'a moderator cannot ban the creator', (v) => remove(v, 'ban', alice, bob)),
]
