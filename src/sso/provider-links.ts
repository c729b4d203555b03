// What people choose between where they can sign in with several providers.

import { html } from 'hono/html'
import type { Html } from '../web/page.ts'
import type { SsoProvider } from './sso-settings.ts'

/** A link for each, to what `href` says. */
export function providerLinks(providers: readonly SsoProvider[], href: (id: string) => string): Html {
  return html`<nav aria-label="Single sign-on">
    ${providers.map(
      (provider) => html`<a class="button" href="${href(provider.id)}">Continue with ${provider.name}</a>`,
    )}
  </nav>`
}
