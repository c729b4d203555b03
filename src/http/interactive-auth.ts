// User-interactive authentication: what a request that needs more than an access token goes through.
// Specification: client-server API, "User-Interactive Authentication API".

import { createHash } from 'node:crypto'
import type { Errcode } from '../errors.ts'
import { MatrixError } from '../errors.ts'
import { CanonicalJsonError, canonicalJson } from '../matrix/canonical-json.ts'
import { isJsonObject, type JsonObject, property, stringProperty } from '../matrix/json.ts'
import {
  completeStage,
  findInteractiveAuth,
  type InteractiveAuthSession,
  openInteractiveAuth,
  rebindInteractiveAuth,
  useInteractiveAuth,
} from '../storage/interactive-auth-sessions.ts'
import type { AppContext } from './app-type.ts'
import { performStage, type Stage } from './interactive-auth-stages.ts'
import type { Session } from './session.ts'

export interface InteractiveAuthRequest {
  readonly body: JsonObject
  /** Each flow is a list of stages, to be completed in order. */
  readonly flows: readonly (readonly Stage[])[]
  /** The session of the access token: its user must authenticate. Without one the password stage names the user. */
  readonly session: Session | undefined
  /** The caller uses the authentication session up itself, in the transaction of what was asked for. */
  readonly usedByCaller?: boolean
}

/**
 * Takes a request through its flow. Answers the 401 response that must go to the client, or the session once all
 * stages of a flow are complete; its `userId` is then who authenticated. 403 M_FORBIDDEN when the request is not the
 * one that the session was opened for.
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
  }
  const sessionId = stringProperty(auth, 'session')
  const known = sessionId === undefined ? undefined : await findInteractiveAuth(c.env, sessionId)
  const session = known ?? (await openInteractiveAuth(c.env, binding))
  if (sessionId !== undefined && known === undefined) {
    return challenge(c, request, session, {
      errcode: 'M_FORBIDDEN',
      error: 'The session is unknown or has expired',
    })
  }
  await checkBinding(c, session, binding)
  return auth === undefined ? challenge(c, request, session) : await proceed(c, request, session, auth)
}

async function proceed(
  c: AppContext,
  request: InteractiveAuthRequest,
  session: InteractiveAuthSession,
  auth: JsonObject,
): Promise<Response | InteractiveAuthSession> {
  const type = stringProperty(auth, 'type')
  // A completed stage is not tried again; without a type the client asks whether a fallback page was successful.
  if (type === undefined || session.completed.includes(type)) return await conclude(c, request, session)
  const stage = nextStages(request, session).find((candidate) => candidate === type)
  if (stage === undefined) {
    return challenge(c, request, session, {
      errcode: 'M_FORBIDDEN',
      error: `${type} is not a stage to complete now`,
    })
  }
  const outcome = await performStage(c.env, session, stage, auth)
  if (!outcome.ok) return challenge(c, request, session, outcome)
  const advanced = { ...session, completed: [...session.completed, stage], userId: outcome.userId }
  if (isComplete(request, advanced)) return await conclude(c, request, advanced)
  return challenge(c, request, await completeStage(c.env, session, stage, outcome.userId))
}

async function conclude(
  c: AppContext,
  request: InteractiveAuthRequest,
  session: InteractiveAuthSession,
): Promise<Response | InteractiveAuthSession> {
  if (!isComplete(request, session)) return challenge(c, request, session)
  // A session is good for one request.
  if (!request.usedByCaller && !(await useInteractiveAuth(c.env, session.id))) {
    throw new MatrixError('M_FORBIDDEN', 403, 'The authentication session was used by another request')
  }
  return session
}

function isComplete({ flows }: InteractiveAuthRequest, { completed }: InteractiveAuthSession): boolean {
  return flows.some((flow) => flow.every((stage, n) => completed[n] === stage))
}

function nextStages({ flows }: InteractiveAuthRequest, { completed }: InteractiveAuthSession): Stage[] {
  return flows
    .filter((flow) => completed.every((stage, n) => flow[n] === stage))
    .flatMap((flow) => flow[completed.length] ?? [])
}

function challenge(
  c: AppContext,
  request: InteractiveAuthRequest,
  session: InteractiveAuthSession,
  failure?: { readonly errcode: Errcode; readonly error: string },
): Response {
  return c.json(
    {
      ...(failure === undefined ? {} : { errcode: failure.errcode, error: failure.error }),
      session: session.id,
      flows: request.flows.map((stages) => ({ stages })),
      params: {},
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
  await rebindInteractiveAuth(c.env, session.id, binding.bodyHash)
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
