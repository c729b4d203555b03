// The page at the end of a stage of interactive authentication. Specification: client-server API, "Fallback" of
// user-interactive authentication.

import { html } from 'hono/html'
import type { AppContext } from '../http/app-type.ts'
import { showPage } from './page.ts'

/** Tells the application that opened the page that the stage is complete. */
export async function authDonePage(c: AppContext): Promise<Response> {
  return await showPage(c, {
    title: 'Done',
    content: (nonce) =>
      html`<p>You can close this page and go back to your application.</p>
        <script nonce="${nonce}">
          if (window.onAuthDone) window.onAuthDone()
          else if (window.opener && window.opener.postMessage) window.opener.postMessage('authDone', '*')
        </script>`,
  })
}
