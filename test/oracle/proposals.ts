// What a user of a room might do next: an event to be, as far as its content goes.

import type { Event, StateLookup } from '../../src/matrix/event.ts'
import { encodeBase64 } from '../../src/matrix/base64.ts'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { objectProperty, stringProperty } from '../../src/matrix/json.ts'
import type { RoomVersionRules } from '../../src/matrix/room-version.ts'
import { signingKeyFromSeed, signJson } from '../../src/matrix/signing.ts'
import type { Prng } from './prng.ts'

export type Proposal = Pick<Event, 'type' | 'content'> & {
  readonly sender: string
  readonly state_key?: string
}

/** Where it happens: who might act, and the room state they see. */
export interface Scene {
  readonly random: Prng
  readonly rules: RoomVersionRules
  readonly users: readonly string[]
  readonly state: StateLookup
}

type Proposer = (scene: Scene, sender: string) => Proposal

const identityKey = signingKeyFromSeed(new Uint8Array(32).fill(7))

const proposers: readonly (readonly [number, Proposer])[] = [
  [10, ownMembership],
  [9, othersMembership],
  [3, invitation],
  [10, powerLevels],
  [5, joinRules],
  [4, (scene, sender) => text(scene, sender, 'm.room.topic', 'topic')],
  [2, (scene, sender) => text(scene, sender, 'm.room.name', 'name')],
  [2, ownState],
  [1, aliases],
  [1, thirdPartyInvite],
  [1, exchangedInvite],
  [1, (_, sender) => ({ type: 'm.room.message', sender, content: { body: 'hello' } })],
]
const weight = proposers.reduce((sum, [share]) => sum + share, 0)

/** Something that may happen, allowed or not. */
export function proposeEvent(scene: Scene): Proposal {
  let at = scene.random.next() * weight
  const chosen = proposers.find(([share]) => (at -= share) < 0) ?? proposers[0]
  if (chosen === undefined) throw new Error('no proposals')
  return chosen[1](scene, scene.random.pick(scene.users))
}

function state(type: string, sender: string, stateKey: string, content: JsonObject): Proposal {
  return { type, sender, state_key: stateKey, content }
}

function membershipOf({ state: lookup }: Scene, user: string): string {
  return stringProperty(lookup('m.room.member', user)?.content, 'membership') ?? 'leave'
}

function ownMembership(scene: Scene, sender: string): Proposal {
  const { random, rules } = scene
  const isIn = membershipOf(scene, sender) === 'join'
  const membership = isIn
    ? random.pick(['leave', 'leave', 'join'])
    : random.pick(['join', 'join', 'join', 'leave', 'knock'])
  const vouches = membership === 'join' && rules.restrictedJoins && random.chance(0.5)
  return state('m.room.member', sender, sender, {
    membership,
    ...(vouches ? { join_authorised_via_users_server: random.pick(scene.users) } : {}),
    ...(random.chance(0.2) ? { displayname: `${random.integer(0, 99)}` } : {}),
  })
}

function othersMembership(scene: Scene, sender: string): Proposal {
  const { random } = scene
  const membership = random.pick(['ban', 'ban', 'leave', 'leave', 'join'])
  return state('m.room.member', sender, random.pick(scene.users), { membership })
}

function invitation(scene: Scene, sender: string): Proposal {
  return state('m.room.member', sender, scene.random.pick(scene.users), { membership: 'invite' })
}

function powerLevels(scene: Scene, sender: string): Proposal {
  const { random } = scene
  const current = scene.state('m.room.power_levels', '')?.content ?? {}
  const next: JsonObject = { ...current }
  for (let count = random.integer(1, 2); count > 0; count--) {
    const kind = random.next()
    if (kind < 0.7) next.users = changed(scene, objectProperty(next, 'users'), random.pick(scene.users))
    else if (kind < 0.85) next[random.pick(topLevels)] = level(scene)
    else if (kind < 0.95)
      next.events = changed(scene, objectProperty(next, 'events'), random.pick(eventTypes))
    else next.notifications = changed(scene, objectProperty(next, 'notifications'), 'room')
  }
  return state('m.room.power_levels', sender, '', next)
}

const topLevels = ['ban', 'kick', 'invite', 'redact', 'state_default', 'events_default', 'users_default']
const eventTypes = ['m.room.power_levels', 'm.room.join_rules', 'm.room.topic', 'm.room.name', 'x.own']

function changed(scene: Scene, levels: JsonObject | undefined, key: string): JsonObject {
  const next = { ...levels }
  if (scene.random.chance(0.2)) delete next[key]
  else next[key] = level(scene)
  return next
}

function level({ random, rules }: Scene): JsonValue {
  const chosen = random.pick([0, 0, 10, 25, 50, 50, 75, 99, 100, 100, -5, 101])
  return rules.powerLevelValues !== 'ints' && random.chance(0.05) ? `${chosen}` : chosen
}

function joinRules({ random, rules }: Scene, sender: string): Proposal {
  const joinRule = random.pick([
    'public',
    'public',
    'invite',
    'invite',
    'private',
    ...(rules.knocking ? ['knock'] : []),
    ...(rules.restrictedJoins ? ['restricted', 'restricted', 'restricted'] : []),
    ...(rules.knockRestricted ? ['knock_restricted', 'knock_restricted'] : []),
  ])
  const allow = [{ type: 'm.room_membership', room_id: '!other:a.example' }]
  const isRestricted = joinRule.endsWith('restricted')
  return state('m.room.join_rules', sender, '', { join_rule: joinRule, ...(isRestricted ? { allow } : {}) })
}

function text({ random }: Scene, sender: string, type: string, key: string): Proposal {
  return state(type, sender, '', { [key]: `${random.integer(0, 99)}` })
}

/** State of a type that nobody knows, mostly under the sender's own key. */
function ownState({ random, users }: Scene, sender: string): Proposal {
  const key = random.pick([sender, sender, '', 'key', random.pick(users)])
  return state('x.own', sender, key, { number: random.integer(0, 99) })
}

function aliases(_: Scene, sender: string): Proposal {
  return state('m.room.aliases', sender, sender.slice(sender.indexOf(':') + 1), { aliases: [] })
}

function thirdPartyInvite({ random }: Scene, sender: string): Proposal {
  const key = encodeBase64(identityKey.publicKey)
  return state('m.room.third_party_invite', sender, random.pick(['token', 'other']), {
    display_name: 'someone',
    key_validity_url: 'https://identity.example/valid',
    public_key: key,
    public_keys: [{ public_key: key }],
  })
}

function exchangedInvite(scene: Scene, sender: string): Proposal {
  const { random } = scene
  const target = random.pick(scene.users)
  const token = random.pick(['token', 'other'])
  const inviter = scene.state('m.room.third_party_invite', token)?.sender ?? sender
  const signed = signJson({ mxid: target, token }, 'identity.example', 'ed25519:0', identityKey)
  return state('m.room.member', random.chance(0.9) ? inviter : sender, target, {
    membership: 'invite',
    third_party_invite: { display_name: 'someone', signed },
  })
}
