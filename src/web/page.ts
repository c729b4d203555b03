// The frame of all pages the server shows to people: head, style sheet, and the headers that keep a page to itself.

import { html } from 'hono/html'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { config } from '../config.ts'
import type { AppContext } from '../http/app-type.ts'
import { newSecretToken } from '../storage/secret-token.ts'
import { styleSheet } from './style-sheet.ts'

export type Html = ReturnType<typeof html>

/** What a page may load or ask, as source expressions of a Content-Security-Policy: nothing by default. */
export interface Sources {
  readonly script?: readonly string[]
  readonly frame?: readonly string[]
  readonly connect?: readonly string[]
}

export interface Page {
  readonly title: string
  /** What stands below the title. `nonce` is for script elements: no other script runs. */
  readonly content: (nonce: string) => Html
  readonly status?: ContentfulStatusCode
  readonly sources?: Sources
  /** The origins where the answer to the page's form may send its reader. */
  readonly formTargets?: readonly string[]
}

/** The answer that shows a page. Its Content-Security-Policy refuses whatever is neither the page's own nor named. */
export async function showPage(c: AppContext, page: Page): Promise<Response> {
  const { title, content, status = 200, sources = {}, formTargets = [] } = page
  const nonce = newSecretToken()
  c.header('Content-Security-Policy', contentSecurityPolicy(nonce, sources, formTargets))
  // RFC 9700, section 4.16: for browsers that do not know frame-ancestors.
  c.header('X-Frame-Options', 'DENY')
  // Whose script runs here learns the site, never the address with its session.
  c.header('Referrer-Policy', sources.script ? 'strict-origin' : 'no-referrer')
  c.header('X-Content-Type-Options', 'nosniff')
  c.header('Cache-Control', 'no-store')
  const document = await html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <link rel="icon" href="data:," />
        <title>${title}</title>
        <style nonce="${nonce}">
          ${styleSheet}
        </style>
      </head>
      <body>
        <main>
          <h1>${title}</h1>
          ${content(nonce)}
          <footer>${config(c.env).serverName}</footer>
        </main>
      </body>
    </html>`
  return c.html(document, status)
}

/** What a page says that does nothing without scripts, to those who have none or whose browser refuses it. */
export const needsScript = (nonce: string) => html`
  <p class="alert" id="needs-script">This page does not work without JavaScript.</p>
  <script nonce="${nonce}">
    document.getElementById('needs-script').hidden = true
  </script>
`

function contentSecurityPolicy(nonce: string, sources: Sources, formTargets: readonly string[]): string {
  const { script = [], frame = [], connect = [] } = sources
  const directives = {
    'default-src': ["'none'"],
    'script-src': [`'nonce-${nonce}'`, ...script],
    'style-src': [`'nonce-${nonce}'`],
    // Scripts from elsewhere give what they make a size by its attribute.
    'style-src-attr': script.length === 0 ? [] : ["'unsafe-inline'"],
    // The empty icon: without one browsers ask for /favicon.ico.
    'img-src': ['data:'],
    'frame-src': frame,
    'connect-src': connect,
    'form-action': ["'self'", ...formTargets],
    'base-uri': ["'none'"],
    'frame-ancestors': ["'none'"],
  }
  return Object.entries(directives)
    .filter(([, expressions]) => expressions.length > 0)
    .map(([directive, expressions]) => [directive, ...expressions].join(' '))
    .join('; ')
}
