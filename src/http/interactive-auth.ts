// User-interactive authentication: what a request that needs more than an access token goes through.
// Specification: client-server API, "User-Interactive Authentication API".

import { createHash } from 'node:crypto'
import type { Errcode } from '../errors.ts'
import { MatrixError } from '../errors.ts'
import { CanonicalJsonError, canonicalJson } from '../matrix/canonical-json.ts'
import { isJsonObject, type JsonObject, property, stringProperty } from '../matrix/json.ts'
import {
  findInteractiveAuth,
  type InteractiveAuthSession,
  keepInteractiveAuth,
  openInteractiveAuth,
  rebindInteractiveAuth,
  useInteractiveAuth,
} from '../storage/interactive-auth-sessions.ts'
import type { AppContext } from './app-type.ts'
import {
  type Attempt,
  attemptStage,
  type Flows,
  isComplete,
  nextStages,
  resumeStage,
  sessionLifetimeMs,
  stageParams,
} from './interactive-auth-stages.ts'
import type { Session } from './session.ts'

export interface InteractiveAuthRequest {
  readonly body: JsonObject
  readonly flows: Flows
  /** The session of the access token: its user must authenticate. Without one the password stage names the user. */
  readonly session: Session | undefined
  /** The caller uses the authentication session up itself, in the transaction of what was asked for. */
  readonly usedByCaller?: boolean
}

/**
 * Takes a request through its flow. Answers the 401 response that must go to the client, or the session once all
 * stages of a flow are complete; its `userId` is then who authenticated. Application services are asked for nothing.
 * 403 M_FORBIDDEN when the request is not the one that the session was opened for.
 */
export async function interactiveAuth(
  c: AppContext,
  request: InteractiveAuthRequest,
): Promise<Response | InteractiveAuthSession> {
  const auth = authData(request.body)
  const binding = {
    operation: `${c.req.method} ${c.req.path}`,
    bodyHash: bodyHash(request.body),
    userId: request.session?.userId ?? null,
    offer: { flows: request.flows, params: stageParams(c.env, request.flows) },
  }
  // An application service vouches for its users, who have no password. MSC4190: it must not be asked where devices are
  // deleted and cross-signing keys replaced.
  if (request.session?.appservice) return { ...binding, id: '', completed: [], data: {} }
  const sessionId = stringProperty(auth, 'session')
  const known = sessionId === undefined ? undefined : await findInteractiveAuth(c.env, sessionId)
  if (known !== undefined) await checkBinding(c, known, binding)
  // Nothing is agreed to that was not shown: where the server has come to ask for something else, it starts anew.
  if (known !== undefined && JSON.stringify(known.offer) === JSON.stringify(binding.offer)) {
    return await proceed(c, request, known, auth ?? {})
  }
  const session = await openInteractiveAuth(c.env, binding, sessionLifetimeMs(request.flows))
  if (sessionId !== undefined) {
    return challenge(c, session, {
      errcode: 'M_FORBIDDEN',
      error: 'The session is unknown or has expired',
    })
  }
  return auth === undefined ? challenge(c, session) : await proceed(c, request, session, auth)
}

async function proceed(
  c: AppContext,
  request: InteractiveAuthRequest,
  session: InteractiveAuthSession,
  auth: JsonObject,
): Promise<Response | InteractiveAuthSession> {
  const type = stringProperty(auth, 'type')
  // Without a type the client asks whether a stage was completed elsewhere.
  if (type === undefined) {
    const resumed = await resumeStage(c.env, session)
    return resumed === undefined
      ? await conclude(c, request, session)
      : await settle(c, request, session, resumed)
  }
  // A completed stage is not tried again.
  if (session.completed.includes(type)) return await conclude(c, request, session)
  const stage = nextStages(session).find((candidate) => candidate === type)
  if (stage === undefined) {
    return challenge(c, session, {
      errcode: 'M_FORBIDDEN',
      error: `${type} is not a stage to complete now`,
    })
  }
  return await settle(c, request, session, await attemptStage(c.env, session, stage, auth))
}

async function settle(
  c: AppContext,
  request: InteractiveAuthRequest,
  before: InteractiveAuthSession,
  { session, outcome }: Attempt,
): Promise<Response | InteractiveAuthSession> {
  // What is complete is used up at once.
  if (outcome.ok && isComplete(session)) return await conclude(c, request, session)
  if (outcome.ok || session.data !== before.data) await keepInteractiveAuth(c.env, session)
  return challenge(c, session, outcome.ok ? undefined : outcome)
}

async function conclude(
  c: AppContext,
  request: InteractiveAuthRequest,
  session: InteractiveAuthSession,
): Promise<Response | InteractiveAuthSession> {
  if (!isComplete(session)) return challenge(c, session)
  // A session is good for one request.
  if (!request.usedByCaller && !(await useInteractiveAuth(c.env, session.id))) {
    throw new MatrixError('M_FORBIDDEN', 403, 'The authentication session was used by another request')
  }
  return session
}

function challenge(
  c: AppContext,
  session: InteractiveAuthSession,
  failure?: { readonly errcode: Errcode; readonly error: string },
): Response {
  return c.json(
    {
      ...(failure === undefined ? {} : { errcode: failure.errcode, error: failure.error }),
      session: session.id,
      flows: session.offer.flows.map((stages) => ({ stages })),
      params: session.offer.params,
      ...(session.completed.length === 0 ? {} : { completed: session.completed }),
    },
    401,
  )
}

type Binding = Pick<InteractiveAuthSession, 'operation' | 'bodyHash' | 'userId'>

// What was agreed to is what must be done: neither request nor user may change under way.
async function checkBinding(c: AppContext, session: InteractiveAuthSession, binding: Binding): Promise<void> {
  const sameUser = binding.userId === null || binding.userId === session.userId
  if (session.operation !== binding.operation || !sameUser) throw changed()
  if (session.bodyHash === binding.bodyHash) return
  // Many clients ask for the flows with an empty registration and fill it in later: free until a stage is completed.
  if (session.userId !== null || session.completed.length > 0) throw changed()
  if (!(await rebindInteractiveAuth(c.env, session.id, binding.bodyHash))) throw changed()
}

function changed(): MatrixError {
  return new MatrixError('M_FORBIDDEN', 403, 'The request changed during authentication')
}

function authData(body: JsonObject): JsonObject | undefined {
  const auth = property(body, 'auth')
  if (auth === undefined || auth === null) return undefined
  if (!isJsonObject(auth)) throw new MatrixError('M_BAD_JSON', 400, 'Invalid field auth: must be an object')
  return auth
}

function bodyHash(body: JsonObject): string {
  try {
    const text = canonicalJson(body, { strict: false, omit: ['auth'] })
    return createHash('sha256').update(text).digest('base64url')
  } catch (error) {
    if (error instanceof CanonicalJsonError)
      throw new MatrixError('M_BAD_JSON', 400, `Invalid body: ${error.message}`)
    throw error
  }
}
