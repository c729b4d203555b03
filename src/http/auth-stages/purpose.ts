// What somebody authenticates for, in words: who types a password in, or signs in once more, should know.

import { html } from 'hono/html'
import type { InteractiveAuthSession } from '../../storage/interactive-auth-sessions.ts'
import type { Html } from '../../web/page.ts'

/** What the application asks to do, as in: it asks to *change your password*. */
export function purposeOf({ operation }: InteractiveAuthSession): string {
  const found = purposes.find(([pattern]) => pattern.test(operation))
  return found?.[1] ?? 'do something that only you may do'
}

/** The paragraph with it, above what somebody authenticates by. */
export function purposeParagraph(session: InteractiveAuthSession): Html {
  return html`<p>
    Your application asks to <b>${purposeOf(session)}</b>. If it was not you who wanted that, close this page.
  </p>`
}

const purposes: readonly (readonly [RegExp, string])[] = [
  [/\/account\/password$/, 'change your password'],
  [/\/account\/deactivate$/, 'close your account for good'],
  [/\/account\/3pid/, 'change the addresses of your account'],
  [/^DELETE .*\/devices\/|\/delete_devices$/, 'log devices out'],
  [/\/keys\/device_signing\/upload$/, 'set up new keys for verification'],
  [/\/login\/get_token$/, 'log another application in'],
]
