// Whether there are accounts to be had with a browser. Specification: client-server API, "User registration" of the OAuth 2.0 API.

import { config } from '../config.ts'
import type { Env } from '../env.ts'
import type { SsoProvider } from '../sso/sso-settings.ts'

/** Whether there are, in any way. */
export function canRegister(env: Env): boolean {
  return registersByPassword(env) || registeringProviders(env).length > 0
}

/** Whether there are with a password. */
export function registersByPassword(env: Env): boolean {
  const { registration, passwordLogin } = config(env)
  return registration !== 'closed' && passwordLogin
}

/** The identity providers that give accounts to those who have none. */
export function registeringProviders(env: Env): SsoProvider[] {
  return config(env).sso?.providers.filter(({ register }) => register) ?? []
}
