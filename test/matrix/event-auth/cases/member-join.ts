// Cases of member events in general, of joins and of knocks.

import type { Verdict } from '../../../../src/matrix/event.ts'
import { authorise } from '../../../../src/matrix/event-auth/authorise.ts'
import type { JsonObject } from '../../../../src/matrix/json.ts'
import type { RoomVersionId } from '../../../../src/matrix/room-version.ts'
import { createEvent, memberEvent, rulesOf, state } from '../../../fixtures/events.ts'
import type { EventFields } from '../../../fixtures/events.ts'
import {
  alice,
  all,
  banned,
  between,
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

/** A room in which only the create event has happened, with bob as an additional creator where there are any. */
function firstJoin(version: RoomVersionId, target: string, fields: EventFields = {}): Verdict {
  const create = createEvent(version, { content: { additional_creators: [bob] } })
  const join = memberEvent(target, 'join', { room_id: create.room_id, prev_events: [create], ...fields })
  return authorise(rulesOf(version), join, state([create]))
}

const join = (version: RoomVersionId, joinRule: string, user: string, content: JsonObject = {}): Verdict =>
  room(version, { joinRule }).judgeMember(user, 'join', { content })

/** A join of a stranger that a user vouches for. */
function vouchedJoin(
  version: RoomVersionId,
  joinRule: string,
  voucher: string,
  powerLevels?: JsonObject,
): Verdict {
  const options = powerLevels === undefined ? { joinRule } : { joinRule, powerLevels }
  return room(version, options).judgeMember(stranger, 'join', {
    content: { join_authorised_via_users_server: voucher },
  })
}

const restrictedRules = [
  { joinRule: 'restricted', versions: since('8') },
  { joinRule: 'knock_restricted', versions: since('10') },
]

export const memberCases: readonly RuleCase[] = [
  passes('member-fields', all, 'a member event with both fields is judged', (v) =>
    room(v).judgeMember(carol, 'join'),
  ),
  fails('member-fields', all, 'a member event needs a state key', (v) =>
    room(v).judge({ type: 'm.room.member', sender: carol, content: { membership: 'join' } }),
  ),
  fails('member-fields', all, 'a member event needs a membership', (v) =>
    room(v).judge({ type: 'm.room.member', sender: carol, state_key: carol }),
  ),
  passes('member-membership', since('7'), 'a knock is a membership since version 7', (v) =>
    room(v, { joinRule: 'knock' }).judgeMember(stranger, 'knock'),
  ),
  fails('member-membership', upTo('6'), 'a knock is no membership before version 7', (v) =>
    room(v, { joinRule: 'knock' }).judgeMember(stranger, 'knock'),
  ),
  passes('member-membership', all, 'a leave is a membership', (v) => room(v).judgeMember(carol, 'leave')),
  ...['', 'Join', 'toString', null, 1, { join: true }].map((membership) =>
    fails('member-membership', all, `${JSON.stringify(membership)} is no membership`, (v) =>
      room(v).judge({ type: 'm.room.member', sender: carol, state_key: carol, content: { membership } }),
    ),
  ),
]

export const joinCases: readonly RuleCase[] = [
  passes('join-rule', all, 'the creator joins right after creating the room', (v) => firstJoin(v, alice)),
  fails('join-rule', all, 'the creator joins without a rule only right after the create event', (v) =>
    firstJoin(v, alice, { prev_events: ['$other'] }),
  ),
  fails('join-rule', all, 'the creator joins without a rule only after the create event alone', (v) =>
    firstJoin(v, alice, {
      prev_events: [createEvent(v, { content: { additional_creators: [bob] } }), '$other'],
    }),
  ),
  fails('join-rule', all, 'nobody but the creator joins right after the create event', (v) =>
    firstJoin(v, stranger),
  ),
  fails('join-rule', all, 'an additional creator needs an invite', (v) => firstJoin(v, bob)),
  passes('join-rule', upTo('10'), 'the creator is who the content names', (v) => {
    const create = createEvent(v, { content: { creator: bob } })
    return authorise(rulesOf(v), memberEvent(bob, 'join', { prev_events: [create] }), state([create]))
  }),
  fails(
    'join-rule',
    upTo('10'),
    'the sender of the create event is not the creator if the content names another',
    (v) => {
      const create = createEvent(v, { content: { creator: bob } })
      return authorise(rulesOf(v), memberEvent(alice, 'join', { prev_events: [create] }), state([create]))
    },
  ),
  fails('join-rule', since('11'), 'the content cannot name another creator', (v) => {
    const create = createEvent(v, { content: { creator: bob } })
    const fields = { room_id: create.room_id, prev_events: [create] }
    return authorise(rulesOf(v), memberEvent(bob, 'join', fields), state([create]))
  }),

  passes('join-sender', all, 'a user joins a public room', (v) => join(v, 'public', stranger)),
  fails('join-sender', all, 'nobody joins another user', (v) =>
    room(v, { joinRule: 'public' }).judgeMember(stranger, 'join', { sender: alice }),
  ),

  passes('join-banned', all, 'a user who left a public room returns', (v) => join(v, 'public', left)),
  ...['public', 'invite', 'restricted'].map((joinRule) =>
    fails('join-banned', all, `a banned sender cannot join a room with join rule ${joinRule}`, (v) =>
      join(v, joinRule, banned, { join_authorised_via_users_server: bob }),
    ),
  ),

  passes('join-rule', all, 'an invited user joins', (v) => join(v, 'invite', invited)),
  passes('join-rule', all, 'a joined user joins again', (v) => join(v, 'invite', carol)),
  ...[stranger, left].map((user) =>
    fails('join-rule', all, `${user} cannot join without an invite`, (v) => join(v, 'invite', user)),
  ),
  fails('join-rule', all, 'without join rules an invite is needed', (v) =>
    room(v).judgeMember(stranger, 'join'),
  ),
  passes('join-rule', all, 'without join rules an invite suffices', (v) =>
    room(v).judgeMember(invited, 'join'),
  ),
  passes('join-rule', all, 'join rules that name no rule mean invite', (v) =>
    room(v, { more: [stateOf('m.room.join_rules', {})] }).judgeMember(invited, 'join'),
  ),
  ...['private', 'Public', 'constructor'].map((joinRule) =>
    fails('join-rule', all, `the join rule ${joinRule} admits nobody`, (v) => join(v, joinRule, invited)),
  ),
  ...[null, 1, ['public']].map((joinRule) =>
    fails('join-rule', all, `the join rule ${JSON.stringify(joinRule)} admits nobody`, (v) =>
      room(v, { more: [stateOf('m.room.join_rules', { join_rule: joinRule })] }).judgeMember(invited, 'join'),
    ),
  ),
  passes('join-rule', since('7'), 'who knocked and was invited joins', (v) => join(v, 'knock', invited)),
  fails('join-rule', since('7'), 'a knock alone is no permission', (v) => join(v, 'knock', knocking)),
  fails('join-rule', upTo('6'), 'the join rule knock admits nobody before version 7', (v) =>
    join(v, 'knock', invited),
  ),
  fails('join-rule', upTo('7'), 'the join rule restricted admits nobody before version 8', (v) =>
    vouchedJoin(v, 'restricted', bob),
  ),
  fails('join-rule', upTo('9'), 'the join rule knock_restricted admits nobody before version 10', (v) =>
    vouchedJoin(v, 'knock_restricted', bob),
  ),
  fails('join-rule', since('8'), 'a voucher is worth nothing where joins need an invite', (v) =>
    vouchedJoin(v, 'invite', bob),
  ),

  ...restrictedRules.flatMap(({ joinRule, versions }) => [
    passes('join-authorising-user', versions, `${joinRule}: a member vouches for a stranger`, (v) =>
      vouchedJoin(v, joinRule, carol),
    ),
    passes('join-authorising-user', versions, `${joinRule}: an invited user needs no voucher`, (v) =>
      join(v, joinRule, invited),
    ),
    passes('join-authorising-user', versions, `${joinRule}: a joined user needs no voucher`, (v) =>
      join(v, joinRule, carol),
    ),
    fails('join-authorising-user', versions, `${joinRule}: a stranger needs a voucher`, (v) =>
      join(v, joinRule, stranger),
    ),
    fails('join-authorising-user', versions, `${joinRule}: a voucher is a user ID`, (v) =>
      join(v, joinRule, stranger, { join_authorised_via_users_server: [bob] }),
    ),
    ...[left, invited, banned, stranger].map((voucher) =>
      fails(
        'join-authorising-user',
        versions,
        `${joinRule}: ${voucher} is not joined and cannot vouch`,
        (v) => vouchedJoin(v, joinRule, voucher),
      ),
    ),
    passes('join-authorising-user', versions, `${joinRule}: a member with the power to invite vouches`, (v) =>
      vouchedJoin(v, joinRule, bob, powers(v, { invite: 50 })),
    ),
    fails('join-authorising-user', versions, `${joinRule}: who may not invite cannot vouch`, (v) =>
      vouchedJoin(v, joinRule, bob, powers(v, { invite: 51 })),
    ),
  ]),
]

const knock = (version: RoomVersionId, joinRule: string, user: string, sender = user): Verdict =>
  room(version, { joinRule }).judgeMember(user, 'knock', { sender })

export const knockCases: readonly RuleCase[] = [
  passes('knock-join-rule', since('7'), 'a stranger knocks', (v) => knock(v, 'knock', stranger)),
  passes('knock-join-rule', since('10'), 'a stranger knocks where joins are restricted too', (v) =>
    knock(v, 'knock_restricted', stranger),
  ),
  fails('knock-join-rule', between('7', '9'), 'there is no knock_restricted before version 10', (v) =>
    knock(v, 'knock_restricted', stranger),
  ),
  ...['invite', 'public', 'restricted', 'private'].map((joinRule) =>
    fails('knock-join-rule', since('7'), `nobody knocks where the join rule is ${joinRule}`, (v) =>
      knock(v, joinRule, stranger),
    ),
  ),
  fails('knock-join-rule', since('7'), 'nobody knocks without join rules', (v) =>
    room(v).judgeMember(stranger, 'knock'),
  ),
  passes('knock-sender', since('7'), 'a user knocks for themself', (v) => knock(v, 'knock', left)),
  fails('knock-sender', since('7'), 'nobody knocks for another user', (v) => knock(v, 'knock', left, alice)),
  passes('knock-membership', since('7'), 'who knocked may knock again', (v) => knock(v, 'knock', knocking)),
  ...[banned, invited, carol].map((user) =>
    fails('knock-membership', since('7'), `${user} cannot knock`, (v) => knock(v, 'knock', user)),
  ),
]
