// The frame of all pages the server shows to people: head, style sheet, and the headers that keep a page to itself.

import { html } from 'hono/html'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { config } from '../config.ts'
import type { AppContext } from '../http/app-type.ts'
import { newSecretToken } from '../storage/secret-token.ts'
import { styleSheet } from './style-sheet.ts'

export type Html = ReturnType<typeof html>

/** What a page may load from elsewhere, as source expressions of a Content-Security-Policy. */
export interface Sources {
  readonly script: readonly string[]
  readonly frame: readonly string[]
  readonly connect: readonly string[]
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
  const { title, content, status = 200, sources, formTargets } = page
  const nonce = newSecretToken()
  c.header('Content-Security-Policy', contentSecurityPolicy(nonce, sources, formTargets))
  // Whose script runs here learns the site, never the address with its session.
  c.header('Referrer-Policy', sources ? 'strict-origin' : 'no-referrer')
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

const nowhere: Sources = { script: [], frame: [], connect: [] }

function contentSecurityPolicy(
  nonce: string,
  { script, frame, connect } = nowhere,
  formTargets: readonly string[] = [],
): string {
  return [
    "default-src 'none'",
    ['script-src', `'nonce-${nonce}'`, ...script].join(' '),
    `style-src 'nonce-${nonce}'`,
    // The empty icon: without one browsers ask for /favicon.ico.
    'img-src data:',
    ...(frame.length === 0 ? [] : [['frame-src', ...frame].join(' ')]),
    ['connect-src', "'self'", ...connect].join(' '),
    ['form-action', "'self'", ...formTargets].join(' '),
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
}
