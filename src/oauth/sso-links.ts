// From the pages to identity providers, and back. Specification: client-server API, "Redirecting to the Authentication server".

import { providerLinks } from '../sso/provider-links.ts'
import type { SsoProvider } from '../sso/sso-settings.ts'
import type { Html } from '../web/page.ts'
import { type Browser, formToken } from './browser.ts'
import { type OauthSettings, oauthUrl } from './oauth-settings.ts'

/** What the way back proves to have begun here, as `checkForm` takes it. */
export const ssoPurpose = 'single sign-on'

/** A link for each provider, and from there to where this browser alone can go on to `next`. Nothing where there are none. */
export function ssoLinks(
  oauth: OauthSettings,
  browser: Browser,
  providers: readonly SsoProvider[],
  { next, registers }: { readonly next: string; readonly registers: boolean },
): Html | '' {
  if (providers.length === 0) return ''
  const back = new URLSearchParams({ state: formToken(browser, ssoPurpose), next })
  const query = new URLSearchParams({
    redirectUrl: `${oauthUrl(oauth, 'signed-in')}?${back.toString()}`,
    ...(registers ? { action: 'register' } : {}),
  }).toString()
  const redirect = `${oauth.baseUrl}/_matrix/client/v3/login/sso/redirect`
  return providerLinks(providers, (id) => `${redirect}/${id}?${query}`)
}
