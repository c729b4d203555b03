// m.oauth: the user agrees on the account page. It is the one stage for clients of the OAuth 2.0 API, for new cross-signing keys.
// Specification: client-server API, "OAuth authentication"; MSC4312, which had another name for it at first.

import { config } from '../../config.ts'
import type { Env } from '../../env.ts'
import { MatrixError } from '../../errors.ts'
import type { JsonObject } from '../../matrix/json.ts'
import { type OauthSettings, oauthUrl } from '../../oauth/oauth-settings.ts'
import { redirectOnce } from '../../sso/attempt.ts'
import { useCrossSigningReset } from '../../storage/cross-signing-resets.ts'
import type { InteractiveAuthSession } from '../../storage/interactive-auth-sessions.ts'
import type { AuthStage, StageOutcome } from './auth-stage.ts'

export const oauthStage: AuthStage = {
  params: (env): JsonObject => ({ url: resetUrl(oauthOf(env)) }),
  // Clients send their session alone; some name the stage all the same.
  perform: async (env, session) => (await agreed(env, session)) ?? pending,
  resume: agreed,
  page: { visit: async (c) => redirectOnce(c, resetUrl(oauthOf(c.env)), 302) },
}

const pending = {
  ok: false,
  // What clients take for: not yet.
  errcode: 'M_UNAUTHORIZED',
  error: 'This stage is completed on the account page',
} as const

async function agreed(env: Env, { userId }: InteractiveAuthSession): Promise<StageOutcome | undefined> {
  return userId !== null && (await useCrossSigningReset(env, userId)) ? { ok: true, userId } : undefined
}

function resetUrl(oauth: OauthSettings): string {
  return `${oauthUrl(oauth, 'account')}?action=org.matrix.cross_signing_reset`
}

// Sessions of the OAuth 2.0 API go on where it was switched off.
function oauthOf(env: Env): OauthSettings {
  const { oauth } = config(env)
  if (oauth) return oauth
  throw new MatrixError('M_FORBIDDEN', 403, 'This server does not offer the OAuth 2.0 API any more')
}
