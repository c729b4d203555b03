// Whether a key that a third-party invite was signed with still counts: asked by the server that lets the invited in, and by no
// other. Specification: client-server API, "Third-party invites"; identity service API, GET /pubkey/isvalid.

import { type Env, roomStub } from '../env.ts'
import { isMatrixError, MatrixError } from '../errors.ts'
import type { RoomId, UserId } from '../matrix/event.ts'
import type { InviteKey } from '../matrix/event-auth/third-party-invite.ts'
import { type JsonObject, property } from '../matrix/json.ts'
import { publicKeyDocument } from './identity-server.ts'

// Events may list a key time and again.
const mostAsked = 4

/**
 * Refuses the proof of a third-party invite whose key has been revoked: 403 M_FORBIDDEN; 502 and 504 where nobody can say. Whether
 * the proof is one is for the room to judge.
 */
export async function requireValidKey(
  env: Env,
  roomId: RoomId,
  target: UserId,
  signed: JsonObject,
): Promise<void> {
  const keys = await roomStub(env, roomId).keysOfThirdPartyInvite(target, signed)
  if (keys.length === 0 || keys.some(({ validityUrl }) => validityUrl === undefined)) return
  const failures: MatrixError[] = []
  for (const key of keys.slice(0, mostAsked)) {
    try {
      if (await isValid(env, key)) return
    } catch (error) {
      if (!isMatrixError(error)) throw error
      failures.push(error)
    }
  }
  throw failures[0] ?? new MatrixError('M_FORBIDDEN', 403, 'The key of the invite has been revoked')
}

async function isValid(env: Env, { publicKey, validityUrl }: InviteKey): Promise<boolean> {
  const url = URL.parse(validityUrl ?? '')
  const isPlain = url?.protocol === 'https:' && url.username === '' && url.password === ''
  if (!isPlain) throw new MatrixError('M_FORBIDDEN', 403, 'The key of the invite cannot be checked')
  // As it stands in the event, whichever alphabet that is.
  url.searchParams.append('public_key', publicKey)
  return property(await publicKeyDocument(env, url), 'valid') === true
}
