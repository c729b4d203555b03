// The names of the authorisation rules, each with the sentence a refusal gives as its reason.
// Specification: room versions 1-12, "Authorisation rules". Names are stable: logs and tests use them.

import { reject } from '../event.ts'
import type { Verdict } from '../event.ts'

export const authRules = {
  'create-prev-events': 'A create event must not have previous events',
  'create-room-id-domain': 'The room ID of a create event must be of the domain of its sender',
  'create-room-id-present': 'A create event must not have a room ID in this room version',
  'create-room-version': 'The create event names a room version that is not known',
  'create-creator': 'The create event has no creator',
  'create-additional-creators': 'additional_creators must be an array of user IDs',
  'room-create-missing': 'The room state has no create event',
  'room-id-create': 'The room ID is not the ID of the accepted create event of the room',
  'auth-events-unknown': 'The event cites auth events that are not known',
  'auth-events-duplicate': 'The event cites two auth events for one type and state key',
  'auth-events-selection': 'The event cites an auth event that does not belong to the auth events selection',
  'auth-events-rejected': 'The event cites a rejected auth event',
  'auth-events-create': 'The event does not cite the create event',
  'auth-events-room': 'The event cites an auth event of another room',
  federate: 'The room is closed to users of other servers',
  'aliases-state-key': 'An aliases event must have a state key',
  'aliases-sender-domain': 'The state key of an aliases event must be the domain of its sender',
  'member-fields': 'A member event must have a state key and a membership',
  'member-membership': 'The membership is not known in this room version',
  'join-sender': 'Nobody can join on behalf of another user',
  'join-banned': 'The sender is banned from the room',
  'join-authorising-user': 'join_authorised_via_users_server names no joined user who may invite',
  'join-rule': 'The join rule of the room does not let the sender join',
  'invite-third-party-banned': 'The invited user is banned from the room',
  'invite-third-party-signed': 'third_party_invite has no signed object',
  'invite-third-party-fields': 'third_party_invite.signed has no mxid or no token',
  'invite-third-party-mxid': 'third_party_invite.signed.mxid is not the invited user',
  'invite-third-party-token': 'No third-party invite in the room has this token',
  'invite-third-party-sender': 'The third-party invite was sent by another user',
  'invite-third-party-signature': 'No signature of third_party_invite.signed matches a key of the invite',
  'invite-sender-membership': 'The sender of an invite must be joined to the room',
  'invite-target-membership': 'The invited user is already joined, or banned',
  'invite-level': 'The sender does not have the power to invite',
  'leave-own-membership': 'The sender has no membership to leave',
  'leave-sender-membership': 'The sender of a kick or unban must be joined to the room',
  'leave-unban-level': 'The sender does not have the power to unban',
  'leave-kick-level': 'The sender does not have the power to kick the user',
  'ban-sender-membership': 'The sender of a ban must be joined to the room',
  'ban-level': 'The sender does not have the power to ban the user',
  'knock-join-rule': 'The join rule of the room does not allow knocking',
  'knock-sender': 'Nobody can knock on behalf of another user',
  'knock-membership': 'A user who is joined, invited or banned cannot knock',
  'sender-membership': 'The sender is not joined to the room',
  'third-party-invite-level': 'The sender does not have the power to invite third parties',
  'event-level': 'The sender does not have the power to send events of this type',
  'state-key-sender': 'A state key that starts with @ must be the sender',
  'state-key-owner': 'A state key that starts with @ must be a user ID, or begin with one and an underscore',
  'state-key-level': 'The sender does not have more power than the user whom the state key belongs to',
  'state-key-size': 'The state key is too long',
  'power-levels-integers': 'A power level is not an integer',
  'power-levels-maps': 'events or notifications is not an object of integers',
  'power-levels-users': 'users is not an object of user IDs and integers',
  'power-levels-creators': 'users must not contain creators of the room',
  'power-levels-property-current': 'The sender cannot change a level that is higher than their own',
  'power-levels-property-new': 'The sender cannot set a level higher than their own',
  'power-levels-entry-current':
    'The sender cannot change the level of an event or notification above their own',
  'power-levels-entry-new': 'The sender cannot set the level of an event or notification above their own',
  'power-levels-user-current': 'The sender cannot change the level of a user of the same or a higher level',
  'power-levels-user-new': 'The sender cannot give a user a level higher than their own',
  'redaction-level': 'The sender does not have the power to redact events of other servers',
} as const

export type AuthRule = keyof typeof authRules

/** A refusal by an authorisation rule. */
export function refuse(rule: AuthRule): Verdict {
  return reject(rule, authRules[rule])
}
