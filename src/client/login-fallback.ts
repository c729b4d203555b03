// A page that does the whole login, for clients that cannot. Specification: client-server API, "Login Fallback".

import { html } from 'hono/html'
import type { App } from '../http/app-type.ts'
import { newSecretToken } from '../storage/secret-token.ts'

/** GET /_matrix/static/client/login/. */
export function loginFallbackRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#login-fallback
  app.get('/_matrix/static/client/login/', async (c) => {
    const nonce = newSecretToken()
    c.header(
      'Content-Security-Policy',
      `default-src 'none'; script-src 'nonce-${nonce}'; connect-src 'self'; form-action 'none'; base-uri 'none'`,
    )
    c.header('Referrer-Policy', 'no-referrer')
    return c.html(await page(nonce))
  })
}

function page(nonce: string) {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width" />
        <title>Log in</title>
      </head>
      <body>
        <form id="login">
          <p id="error" role="alert"></p>
          <p>
            <label>User name <input name="user" autocomplete="username" required autofocus /></label>
          </p>
          <p>
            <label
              >Password <input name="password" type="password" autocomplete="current-password" required
            /></label>
          </p>
          <button>Log in</button>
        </form>
        <script nonce="${nonce}">
          const form = document.getElementById('login')
          form.addEventListener('submit', async (event) => {
            event.preventDefault()
            const fields = new FormData(form)
            const query = new URLSearchParams(location.search)
            const request = {
              type: 'm.login.password',
              identifier: { type: 'm.id.user', user: fields.get('user') },
              password: fields.get('password'),
            }
            for (const name of ['device_id', 'initial_device_display_name']) {
              if (query.has(name)) request[name] = query.get(name)
            }
            if (query.get('refresh_token') === 'true') request.refresh_token = true
            const response = await fetch('/_matrix/client/v3/login', {
              method: 'POST',
              body: JSON.stringify(request),
            })
            const answer = await response.json()
            if (!response.ok) document.getElementById('error').textContent = answer.error
            else if (window.matrixLogin) window.matrixLogin.onLogin(answer)
          })
        </script>
      </body>
    </html>`
}
