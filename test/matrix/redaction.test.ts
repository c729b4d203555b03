import { isDeepStrictEqual } from 'node:util'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { objectProperty } from '../../src/matrix/json.ts'
import { redact } from '../../src/matrix/redaction.ts'
import { allRules, anyRules, eventLike, rulesOf } from './arbitrary.ts'

/** The first version of each set of redaction rules. */
const changes = ['1', '6', '8', '9', '11']

const everyContentKey: JsonObject = {
  membership: 'join',
  creator: '@a:b',
  join_rule: 'restricted',
  allow: [],
  ban: 1,
  events: {},
  events_default: 2,
  invite: 3,
  kick: 4,
  redact: 5,
  state_default: 6,
  users: {},
  users_default: 7,
  notifications: {},
  aliases: ['#a:b'],
  history_visibility: 'shared',
  redacts: '$a',
  join_authorised_via_users_server: '@a:b',
  third_party_invite: { display_name: 'x', signed: { mxid: '@a:b', token: 't', extra: 1 } },
  body: 'secret',
}

function keptContent(type: string, version: string, content = everyContentKey): JsonObject {
  const redacted = redact({ type, content }, rulesOf(version))
  return objectProperty(redacted, 'content') ?? { missing: true }
}

function keptKeys(type: string): string[][] {
  return changes.map((version) => Object.keys(keptContent(type, version)).sort())
}

describe('redaction', () => {
  test('drops unsigned and unknown top-level keys, and origin, membership and prev_state from version 11 on', () => {
    const base = {
      event_id: '$a',
      type: 'm',
      room_id: '!a',
      sender: '@a',
      state_key: '',
      content: {},
      hashes: {},
      signatures: {},
      depth: 1,
      prev_events: [],
      auth_events: [],
      origin_server_ts: 1,
    }
    const old = { prev_state: [], origin: 'b', membership: 'join' }
    for (const rules of allRules) {
      const pdu = { ...base, ...old, unsigned: { age: 1 }, redacts: '$b', replaces_state: '$c', extra: 1 }
      expect(redact(pdu, rules)).toEqual(rules.redactionV11 ? base : { ...base, ...old })
    }
  })

  test('keeps of a member event its membership, and what restricted joins and third-party invites need', () => {
    const restricted = ['join_authorised_via_users_server', 'membership']
    expect(keptKeys('m.room.member')).toEqual([
      ['membership'],
      ['membership'],
      ['membership'],
      restricted,
      [...restricted, 'third_party_invite'],
    ])
  })

  test('keeps of a third-party invite only signed', () => {
    expect(keptContent('m.room.member', '11')['third_party_invite']).toEqual({
      signed: { mxid: '@a:b', token: 't', extra: 1 },
    })
    expect(keptContent('m.room.member', '11', { third_party_invite: 'x' })).toEqual({})
    expect(keptContent('m.room.member', '11', { third_party_invite: { a: 1 } })).toEqual({
      third_party_invite: {},
    })
  })

  test('keeps of a create event the creator, from version 11 on everything', () => {
    const creator = ['creator']
    const all = Object.keys(everyContentKey).sort()
    expect(keptKeys('m.room.create')).toEqual([creator, creator, creator, creator, all])
  })

  test('keeps of join rules the rule, from version 8 on with whom they allow', () => {
    const [rule, both] = [['join_rule'], ['allow', 'join_rule']]
    expect(keptKeys('m.room.join_rules')).toEqual([rule, rule, both, both, both])
  })

  test('keeps of power levels all that authorises, invite from version 11 on', () => {
    const levels = [
      'ban',
      'events',
      'events_default',
      'kick',
      'redact',
      'state_default',
      'users',
      'users_default',
    ]
    const withInvite = [...levels, 'invite'].sort()
    expect(keptKeys('m.room.power_levels')).toEqual([levels, levels, levels, levels, withInvite])
  })

  test('keeps aliases up to version 5', () => {
    expect(keptKeys('m.room.aliases')).toEqual([['aliases'], [], [], [], []])
  })

  test('keeps the history visibility', () => {
    const kept = ['history_visibility']
    expect(keptKeys('m.room.history_visibility')).toEqual([kept, kept, kept, kept, kept])
  })

  test('keeps what a redaction redacts from version 11 on', () => {
    expect(keptKeys('m.room.redaction')).toEqual([[], [], [], [], ['redacts']])
  })

  test('keeps no content of other events, even of types named like inherited properties', () => {
    for (const type of ['m.room.message', 'm.room.encrypted', 'constructor', '__proto__', ''])
      expect(keptKeys(type)).toEqual([[], [], [], [], []])
  })

  test('replaces content that is no object by an empty one', () => {
    expect(redact({ type: 'm.room.create', content: 'x' }, rulesOf('11'))).toEqual({
      type: 'm.room.create',
      content: {},
    })
  })

  test('does not change what it is given', () => {
    fc.assert(
      fc.property(eventLike, anyRules, (pdu, rules) => {
        const before = JSON.stringify(pdu)
        redact(pdu, rules)
        expect(JSON.stringify(pdu)).toBe(before)
      }),
    )
  })

  test('done twice changes nothing more', () => {
    fc.assert(
      fc.property(eventLike, anyRules, (pdu, rules) => {
        const once = redact(pdu, rules)
        expect(isDeepStrictEqual(redact(once, rules), once)).toBe(true)
      }),
    )
  })
})
