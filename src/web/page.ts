// The frame of all pages the server shows to people: head, style sheet, and the headers that keep a page to itself.

import { html } from 'hono/html'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { AppContext } from '../http/app-type.ts'
import { newSecretToken } from '../storage/secret-token.ts'
import { styleSheet } from './style-sheet.ts'

export type Html = ReturnType<typeof html>

export interface Page {
  readonly title: string
  /** What stands below the title. `nonce` is for script elements: no other script runs. */
  readonly content: (nonce: string) => Html
  readonly status?: ContentfulStatusCode
}

/** The answer that shows a page. Its Content-Security-Policy refuses whatever the page does not bring itself. */
export async function showPage(c: AppContext, { title, content, status = 200 }: Page): Promise<Response> {
  const nonce = newSecretToken()
  c.header('Content-Security-Policy', contentSecurityPolicy(nonce))
  c.header('Referrer-Policy', 'no-referrer')
  c.header('X-Content-Type-Options', 'nosniff')
  c.header('Cache-Control', 'no-store')
  const document = await html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title}</title>
        <style nonce="${nonce}">
          ${styleSheet}
        </style>
      </head>
      <body>
        <main>
          <h1>${title}</h1>
          ${content(nonce)}
        </main>
      </body>
    </html>`
  return c.html(document, status)
}

function contentSecurityPolicy(nonce: string): string {
  return [
    "default-src 'none'",
    `script-src 'nonce-${nonce}'`,
    `style-src 'nonce-${nonce}'`,
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
}
