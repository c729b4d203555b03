// The application services that are told of what happens: those with a URL.
// Specification: application service API, "Registration", "Pushing ephemeral data".

import { config } from '../config.ts'
import type { Env } from '../env.ts'
import type { Appservice } from './registration.ts'

/** Those that are sent events. Empty on most servers: nothing is done there for application services. */
export function listeners(env: Env): readonly Appservice[] {
  const { appservices } = config(env)
  return appservices.length === 0 ? appservices : appservices.filter(({ url }) => url !== undefined)
}

/** Those that are sent typing, receipts and presence as well. */
export function ephemeralListeners(env: Env): readonly Appservice[] {
  return listeners(env).filter(({ receivesEphemeral }) => receivesEphemeral)
}
