// Room versions as a table in which each version changes only what it names over the one before.
// Specification: rooms/v1 to rooms/v12; MSC3757 for the unstable ones. Code asks `rules.knocking`, never "version >= 7".

type StableRoomVersionId = '1' | '2' | '3' | '4' | '5' | '6' | '7' | '8' | '9' | '10' | '11' | '12'

export type RoomVersionId = StableRoomVersionId | 'org.matrix.msc3757.10' | 'org.matrix.msc3757.11'

export interface RoomVersionRules {
  readonly id: RoomVersionId
  /** Where the event id comes from: a field of the event, or the reference hash in one of two alphabets. */
  readonly eventId: 'field' | 'hash' | 'urlSafeHash'
  readonly stateResolution: 'v1' | 'v2' | 'v2.1'
  /** Whether events must be canonical JSON: integers within ±(2^53-1), no floats. */
  readonly strictCanonicalJson: boolean
  /** Whether signing keys must have been valid at the event's `origin_server_ts`. */
  readonly enforceKeyValidity: boolean
  /** Whether redactions are judged by the auth rules (1, 2) or when they are applied (3 and later). */
  readonly redactionAuthRule: boolean
  /** Whether `m.room.aliases` has an auth rule and keeps `aliases` on redaction. */
  readonly aliasesSpecialCase: boolean
  /** Whether a change of `notifications` in power levels is checked. */
  readonly notificationsLevelsChecked: boolean
  /** Which JSON forms of a power level are understood. */
  readonly powerLevelValues: 'intsStringsFloats' | 'intsStrings' | 'ints'
  readonly knocking: boolean
  readonly restrictedJoins: boolean
  readonly knockRestricted: boolean
  /** Redaction keeps `allow` of join rules. */
  readonly redactionKeepsAllow: boolean
  /** Redaction keeps `join_authorised_via_users_server` of member events. */
  readonly redactionKeepsJoinAuthorised: boolean
  /** The redaction changes of version 11: less top-level keys, more content keys. */
  readonly redactionV11: boolean
  /** Whether all servers measure `type` and `state_key` in bytes. Before, some have always counted characters. */
  readonly sizesInBytes: boolean
  /** The creator is the sender of the create event, `content.creator` is gone. */
  readonly creatorIsSender: boolean
  /** `redacts` stands in the content of a redaction. */
  readonly redactsInContent: boolean
  /** The room id is the hash of the create event, which then has no `room_id` and is in no `auth_events`. */
  readonly roomIdIsCreateHash: boolean
  /** Creators have infinite power, and `additional_creators` is understood. */
  readonly privilegedCreators: boolean
  /** A user may have many pieces of state of one type, keyed by their id and what follows it (MSC3757). */
  readonly ownedState: boolean
}

const v1: RoomVersionRules = {
  id: '1',
  eventId: 'field',
  stateResolution: 'v1',
  strictCanonicalJson: false,
  enforceKeyValidity: false,
  redactionAuthRule: true,
  aliasesSpecialCase: true,
  notificationsLevelsChecked: false,
  powerLevelValues: 'intsStringsFloats',
  knocking: false,
  restrictedJoins: false,
  knockRestricted: false,
  redactionKeepsAllow: false,
  redactionKeepsJoinAuthorised: false,
  redactionV11: false,
  sizesInBytes: false,
  creatorIsSender: false,
  redactsInContent: false,
  roomIdIsCreateHash: false,
  privilegedCreators: false,
  ownedState: false,
}
const v2: RoomVersionRules = { ...v1, id: '2', stateResolution: 'v2' }
const v3: RoomVersionRules = { ...v2, id: '3', eventId: 'hash', redactionAuthRule: false }
const v4: RoomVersionRules = { ...v3, id: '4', eventId: 'urlSafeHash' }
const v5: RoomVersionRules = { ...v4, id: '5', enforceKeyValidity: true }
const v6: RoomVersionRules = {
  ...v5,
  id: '6',
  strictCanonicalJson: true,
  aliasesSpecialCase: false,
  notificationsLevelsChecked: true,
  powerLevelValues: 'intsStrings',
}
const v7: RoomVersionRules = { ...v6, id: '7', knocking: true }
const v8: RoomVersionRules = { ...v7, id: '8', restrictedJoins: true, redactionKeepsAllow: true }
const v9: RoomVersionRules = { ...v8, id: '9', redactionKeepsJoinAuthorised: true }
const v10: RoomVersionRules = { ...v9, id: '10', knockRestricted: true, powerLevelValues: 'ints' }
const v11: RoomVersionRules = {
  ...v10,
  id: '11',
  redactionV11: true,
  sizesInBytes: true,
  creatorIsSender: true,
  redactsInContent: true,
}
const v12: RoomVersionRules = {
  ...v11,
  id: '12',
  stateResolution: 'v2.1',
  roomIdIsCreateHash: true,
  privilegedCreators: true,
}

const owned10: RoomVersionRules = { ...v10, id: 'org.matrix.msc3757.10', ownedState: true }
const owned11: RoomVersionRules = { ...v11, id: 'org.matrix.msc3757.11', ownedState: true }

const stable = [v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12]
const unstable = [owned10, owned11]
const all = new Map<string, RoomVersionRules>([...stable, ...unstable].map((rules) => [rules.id, rules]))

/** The rules of a room version, or undefined for one that is not known. */
export function roomVersion(id: string): RoomVersionRules | undefined {
  return all.get(id)
}

/** The identifiers of the room versions of the specification, oldest first. */
export const roomVersionIds: readonly RoomVersionId[] = stable.map((rules) => rules.id)

/** Those of versions that are still being proposed, which nobody gets without asking. */
export const unstableRoomVersionIds: readonly RoomVersionId[] = unstable.map((rules) => rules.id)
