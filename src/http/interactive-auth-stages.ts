// The stages of user-interactive authentication: a new one is a file in auth-stages/ and a line here.
// Specification: client-server API, "Authentication types".

import type { Env } from '../env.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { InteractiveAuthSession } from '../storage/interactive-auth-sessions.ts'
import type { AuthStage, StageOutcome } from './auth-stages/auth-stage.ts'
import { captchaStage, captchaStageNames } from './auth-stages/captcha.ts'
import { dummyStage } from './auth-stages/dummy.ts'
import { emailIdentityStage } from './auth-stages/email-identity.ts'
import { oauthStage } from './auth-stages/oauth.ts'
import { passwordStage } from './auth-stages/password.ts'
import { registrationTokenStage } from './auth-stages/registration-token.ts'
import { ssoStage } from './auth-stages/sso.ts'
import { termsStage } from './auth-stages/terms.ts'

const stages = {
  'm.login.dummy': dummyStage,
  'm.login.email.identity': emailIdentityStage,
  'm.login.password': passwordStage,
  'm.login.registration_token': registrationTokenStage,
  'm.login.sso': ssoStage,
  [captchaStageNames.recaptcha]: captchaStage,
  [captchaStageNames.turnstile]: captchaStage,
  'm.login.terms': termsStage,
  'm.oauth': oauthStage,
  'org.matrix.cross_signing_reset': oauthStage,
} as const satisfies Record<string, AuthStage>

const usualLifetimeMs = 15 * 60 * 1000

export type Stage = keyof typeof stages

/** Each flow is a list of stages, to be completed in order. */
export type Flows = readonly (readonly Stage[])[]

/** Whether there is a stage of that name. */
export function isStage(name: string): name is Stage {
  return Object.hasOwn(stages, name)
}

/** What a stage is made of. */
export function authStage(stage: Stage): AuthStage {
  return stages[stage]
}

/** The `params` of a 401 answer that offers these flows. */
export function stageParams(env: Env, flows: Flows): JsonObject {
  const offered = [...new Set(flows.flat())]
  return Object.fromEntries(
    offered.flatMap((stage) => {
      const params = authStage(stage).params?.(env)
      return params === undefined ? [] : [[stage, params]]
    }),
  )
}

/** How long a session lasts that offers these flows, in milliseconds. */
export function sessionLifetimeMs(flows: Flows): number {
  return Math.max(usualLifetimeMs, ...flows.flat().map((stage) => authStage(stage).lifetimeMs ?? 0))
}

/** The stages that a session can be completed with next. */
export function nextStages({ offer, completed }: InteractiveAuthSession): Stage[] {
  return offer.flows
    .filter((flow) => completed.every((stage, n) => flow[n] === stage))
    .flatMap((flow) => flow[completed.length] ?? [])
    .filter(isStage)
}

/** Whether all stages of one of the flows are completed. */
export function isComplete({ offer, completed }: InteractiveAuthSession): boolean {
  return offer.flows.some((flow) => flow.every((stage, n) => completed[n] === stage))
}

/** What came of a stage: `session` is what is to be kept now, unless it is used up at once. */
export interface Attempt {
  readonly session: InteractiveAuthSession
  readonly outcome: StageOutcome
}

/** Tries a stage with auth data. */
export async function attemptStage(
  env: Env,
  session: InteractiveAuthSession,
  stage: Stage,
  auth: JsonObject,
): Promise<Attempt> {
  return settled(session, stage, await authStage(stage).perform(env, session, auth))
}

/** Looks whether a next stage was completed elsewhere meanwhile, such as by a link in a mail; undefined if none was. */
export async function resumeStage(env: Env, session: InteractiveAuthSession): Promise<Attempt | undefined> {
  for (const stage of nextStages(session)) {
    const outcome = await authStage(stage).resume?.(env, session)
    if (outcome !== undefined) return settled(session, stage, outcome)
  }
  return undefined
}

/** What comes of a stage with an outcome. */
export function settled(session: InteractiveAuthSession, stage: Stage, outcome: StageOutcome): Attempt {
  const data = outcome.data === undefined ? session.data : { ...session.data, [stage]: outcome.data }
  if (!outcome.ok) return { session: { ...session, data }, outcome }
  const completed = [...session.completed, stage]
  return { session: { ...session, data, completed, userId: outcome.userId }, outcome }
}
