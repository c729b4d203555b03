// m.login.sso: the user signs in once more with a provider that their account is linked with. That happens on pages alone:
// src/client/sso-confirm.ts completes the stage. Specification: client-server API, "SSO during User-Interactive Authentication".

import { html } from 'hono/html'
import type { UserId } from '../../matrix/event.ts'
import { linkedProviders } from '../../storage/sso-links.ts'
import type { InteractiveAuthSession } from '../../storage/interactive-auth-sessions.ts'
import { providerOf, requireSso, startAttempt } from '../../sso/attempt.ts'
import { providerLinks } from '../../sso/provider-links.ts'
import { orRefusalPage, SsoRefusal } from '../../sso/refusal.ts'
import { showPage } from '../../web/page.ts'
import type { AppContext } from '../app-type.ts'
import { rateLimitByAddress } from '../rate-limit.ts'
import type { AuthStage } from './auth-stage.ts'
import { purposeParagraph } from './purpose.ts'

export const ssoStage: AuthStage = {
  // What clients take for: not yet.
  perform: async () => ({
    ok: false,
    errcode: 'M_UNAUTHORIZED',
    error: 'This stage is completed on its page',
  }),
  page: { visit: (c, session) => orRefusalPage(c, () => visit(c, session)) },
}

/** Sends the browser to the provider, or asks which where there are several. What is confirmed is asked afterwards. */
async function visit(c: AppContext, session: InteractiveAuthSession): Promise<Response> {
  const sso = requireSso(c.env)
  const linked = await linkedProviders(c.env, ownerOf(session))
  const providers = sso.providers.filter(({ id }) => linked.includes(id))
  const chosen = c.req.query('provider') ?? (providers.length === 1 ? providers[0]?.id : undefined)
  if (chosen !== undefined) {
    await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
    const provider = providerOf({ ...sso, providers }, chosen)
    return await startAttempt(c, sso, provider, { authSession: session.id })
  }
  const href = (provider: string) => `?session=${encodeURIComponent(session.id)}&provider=${provider}`
  return await showPage(c, {
    title: 'Confirm by signing in',
    content: () => html` ${purposeParagraph(session)} ${providerLinks(providers, href)} `,
  })
}

// The stage is offered to users who are known alone.
function ownerOf({ userId }: InteractiveAuthSession): UserId {
  if (userId !== null) return userId
  throw new SsoRefusal('stage-over')
}
