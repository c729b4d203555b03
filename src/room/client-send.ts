// Events from clients: what is refused before the auth rules are asked, and redactions, which need more than those.
// Specification: client-server API, "Sending events to a room", "Redactions".

import { MatrixError } from '../errors.ts'
import type { EventId } from '../matrix/event.ts'
import { powerLevelsContent, requiredLevel, userPowerLevel } from '../matrix/power-levels.ts'
import type { EventDraft } from './build-event.ts'
import { checkRelation } from './check-relation.ts'
import { checkClientContent } from './client-content.ts'
import { identity, type RoomContext, type Signer } from './context.ts'
import { acceptedEvent, eventStatus, findEvent } from './events.ts'
import { hasOtherServers } from './joined-servers.ts'
import { requireJoined } from './room-power.ts'
import { findSentEvent, sendEvent, type SendRequest } from './send-event.ts'
import { currentState, stateLookup } from './state-at.ts'

export interface ClientSendRequest extends SendRequest {
  /** Server administrators may redact events of users of this server. */
  readonly admin?: boolean
  /** Suspended users may redact nothing but their own events. */
  readonly suspended?: boolean
}

/**
 * Sends an event on behalf of a client. M_BAD_JSON, M_INVALID_PARAM, M_MISSING_PARAM for content that no room takes,
 * M_NOT_FOUND for redactions of unknown events, M_FORBIDDEN, M_USER_SUSPENDED.
 */
export function sendFromClient(room: RoomContext, signer: Signer, request: ClientSendRequest): EventId {
  // Nothing else can be asked of an object that holds no room.
  identity(room)
  const sent = findSentEvent(room, request)
  if (sent) return sent
  checkClientContent(room, request.draft)
  checkRelation(room, request.draft)
  if (request.draft.type !== 'm.room.redaction') return sendEvent(room, signer, request)
  const draft = redactionDraft(request.draft)
  checkRedaction(room, draft, request)
  return sendEvent(room, signer, { ...request, draft })
}

type RedactionDraft = EventDraft & { readonly redacts: string }

// Clients name the target in the content, for all room versions. Where it goes is decided when the event is built.
function redactionDraft(draft: EventDraft): RedactionDraft {
  const { redacts: named, ...content } = draft.content
  const redacts = draft.redacts ?? named
  if (redacts === undefined) throw new MatrixError('M_MISSING_PARAM', 400, 'Missing field: redacts')
  if (typeof redacts !== 'string')
    throw new MatrixError('M_BAD_JSON', 400, 'Invalid field redacts: not an event id')
  return { ...draft, content, redacts }
}

// Redacted, these would take the rules of the room with them: its version, who is shut out, that it is encrypted.
const unredactable = ['m.room.create', 'm.room.server_acl', 'm.room.encryption']

function checkRedaction(
  room: RoomContext,
  { sender, redacts }: RedactionDraft,
  { admin, suspended }: ClientSendRequest,
): void {
  requireJoined(room, sender)
  const known = findEvent(room, redacts)
  // In a room with other servers the target may be one that has not arrived: then only the power counts.
  const isUnknown = (!known || known.status === eventStatus.rejected) && hasOtherServers(room)
  const target = isUnknown ? undefined : acceptedEvent(room, redacts).event
  if (target && unredactable.includes(target.type)) {
    throw new MatrixError('M_FORBIDDEN', 403, `An event of type ${target.type} cannot be redacted`)
  }
  // Everybody may redact their own events.
  if (target?.sender === sender) return
  if (suspended === true) throw new MatrixError('M_USER_SUSPENDED', 403, 'This account is suspended')
  const { rules } = identity(room)
  const state = stateLookup(room, currentState(room))
  if (userPowerLevel(rules, sender, state) >= requiredLevel(rules, powerLevelsContent(state), 'redact'))
    return
  if (!target) throw new MatrixError('M_NOT_FOUND', 404, 'Event not found')
  if (admin === true && target.sender.endsWith(`:${room.serverName}`)) return
  throw new MatrixError('M_FORBIDDEN', 403, 'You do not have the power to redact events of others')
}
