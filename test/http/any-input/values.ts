// Values that a request may carry: what is expected at some place, what is nearly that, and what nobody expects.

import * as fc from 'fast-check'

/** What there is on the server that a request can name. */
export interface World {
  readonly userId: string
  readonly otherUserId: string
  readonly deviceId: string
  readonly roomId: string
  readonly eventId: string
  readonly serverName: string
  readonly roomAlias: string
  readonly mediaId: string
  readonly filterId: string
  /** Of a push rule. */
  readonly ruleId: string
  /** Of account data, global and of the room. */
  readonly dataType: string
}

/** Names of fields, from all over the specification. */
const names = `
  user_id user_ids room_id event_id device_id type content state_key reason via limit from to dir since filter format at membership
  not_membership server_name search_term search_categories room_events groupings order_by keys generic_search_term room_types
  third_party_instance_id include_all_networks ts kind rel_type recurse include preset visibility room_version creation_content
  initial_state power_level_content_override invite invite_3pid is_direct name topic room_alias_name new_version additional_creators
  auth session password new_password logout_devices identifier user token refresh_token medium address sid client_secret id_server
  id_access_token email send_attempt next_link devices display_name displayname avatar_url presence status_msg set_presence
  full_state device_keys one_time_keys fallback_keys master_key self_signing_key user_signing_key algorithm auth_data version rooms
  sessions messages lists ranges timeline_limit required_state room_subscriptions extensions conn_id pos txn_id pushkey app_id data
  app_display_name device_display_name profile_tag lang append actions conditions pattern enabled before after typing timeout m.read
  m.fully_read m.read.private thread_id suggested_only max_depth score delay action org.matrix.msc4140.delay order tags pdus edus
  origin origin_server_ts earliest_events latest_events min_depth v ver server_keys event invite_room_state sender depth prev_events
  auth_events hashes signatures width height method animated filename url allow_redirect timeout_ms redirectUrl state code iss attempt provider
  transaction_id`
  .trim()
  .split(/\s+/)

const hostileNames = ['__proto__', 'constructor', 'toString', '', '\u{1f600}', 'a'.repeat(300)]

const anyJson = fc.jsonValue({ maxDepth: 3 })

export const fieldName: fc.Arbitrary<string> = fc.constantFrom(...names, ...hostileNames)

const nearly = `
  / .. % -1 0 1 007 1e3 9007199254740993 null true b f asc join public_chat private m.room.member m.room.create online email
  m.login.password m.thread m.annotation 12 crop @ @: @a #a: !a:b $ $a mxc:// mxc://a/b @a:b:c:d @A:test.local {} {"room":{}}
  s1_1 s99999999999_1 s-1_0 t1-1_2_3 http://127.0.0.1:1/ localhost:1 [::1]:1 a@b ed25519:1`
  .trim()
  .split(/\s+/)

const lengths = [255, 256, 70_000].map((length) => 'x'.repeat(length))
const odd = ['', ' ', '\u0000', '\ud800', '\u{10ffff}', ...lengths, ...nearly]

/** A text: an identifier of something that is there, or anything else. */
export function anyText(world: World): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...Object.values(world)) },
    { weight: 4, arbitrary: fc.constantFrom(...odd) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
  )
}

/** Any value at any place of a body. */
export function anyValue(world: World): fc.Arbitrary<unknown> {
  return fc.oneof(
    { weight: 6, arbitrary: anyText(world) },
    { weight: 2, arbitrary: fc.constantFrom(0, 1, -1, 1.5, 10, 2 ** 31, 2 ** 53, -(2 ** 53), 1e308) },
    { weight: 2, arbitrary: fc.constantFrom(null, true, false, {}, [], [[]], [null], { a: {} }) },
    { weight: 2, arbitrary: fc.array(anyText(world), { maxLength: 4 }) },
    {
      weight: 2,
      arbitrary: fc.dictionary(fc.oneof(fieldName, anyText(world)), anyText(world), { maxKeys: 4 }),
    },
    {
      weight: 2,
      arbitrary: fc.array(fc.dictionary(fieldName, fc.oneof(anyText(world), anyJson), { maxKeys: 5 }), {
        maxLength: 3,
      }),
    },
    { weight: 1, arbitrary: anyJson },
  )
}

/** Bodies that are no JSON objects, or none that anybody would write. */
export const oddBodies: readonly (string | Uint8Array<ArrayBuffer>)[] = [
  '',
  'null',
  '[]',
  '"text"',
  '1e999',
  '{',
  '{"a":1e999}',
  '{"a":-0,"a":{"a":"\\ud800"}}',
  `${'['.repeat(5000)}${']'.repeat(5000)}`,
  `${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}`,
  '{"__proto__":{"user_id":"@a:b"},"constructor":{"prototype":{}}}',
  new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
]
