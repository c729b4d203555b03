// What somebody has to do to register, from the configuration: the one place where that is decided.
// Specification: client-server API, "Account registration", "Token-authenticated registration", "Terms of service at
// registration".

import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { captchaStageNames } from '../http/auth-stages/captcha.ts'
import type { Flows, Stage } from '../http/interactive-auth-stages.ts'
import { awaitsFirstUser } from '../storage/registration-tokens.ts'

/** The flows of a new account. No flow is the beginning of another, so that it is clear when one is complete. */
export async function registrationFlows(env: Env): Promise<Flows> {
  const withToken = withAddress(env, ['m.login.registration_token', ...asked(env)])
  if (config(env).registration === 'token') return withToken
  // The first user's token makes an administrator, so it is of use where no token is needed; after that it is of none.
  return (await awaitsFirstUser(env)) ? [...guestUpgradeFlows(env), ...withToken] : guestUpgradeFlows(env)
}

/** The flows of a guest who becomes a user: guests are let in where registration is open, so no token is asked for. */
export function guestUpgradeFlows(env: Env): Flows {
  return withAddress(env, asked(env))
}

/** The flows with an address, without one, or both, for some stages that come before. */
function withAddress(env: Env, stages: readonly Stage[]): Flows {
  const wanted = config(env).mail?.registration ?? 'off'
  if (wanted === 'off') return [stages.length === 0 ? ['m.login.dummy'] : stages]
  const withEmail: Stage[] = [...stages, 'm.login.email.identity']
  return wanted === 'required' ? [withEmail] : [[...stages, 'm.login.dummy'], withEmail]
}

// Whatever else is asked of everybody: what stops machines first, as it costs people the least to be stopped early.
function asked(env: Env): Stage[] {
  const { captcha, terms } = config(env)
  return [
    ...(captcha ? [captchaStageNames[captcha.kind]] : []),
    ...(terms ? (['m.login.terms'] as const) : []),
  ]
}
