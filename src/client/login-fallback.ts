// A page that does the whole login, for clients that cannot. Specification: client-server API, "Login Fallback".

import { html, raw } from 'hono/html'
import { config } from '../config.ts'
import type { App } from '../http/app-type.ts'
import { needsScript, showPage } from '../web/page.ts'

/** GET /_matrix/static/client/login/. */
export function loginFallbackRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#login-fallback
  app.get('/_matrix/static/client/login/', async (c) => {
    const user = config(c.env).mail ? 'User name or e-mail address' : 'User name'
    return await showPage(c, {
      title: 'Log in',
      sources: { connect: ["'self'"] },
      content: (nonce) => content(nonce, user),
    })
  })
}

// The form appears with the script: without it, it would send the password to a place that does not take it.
const content = (nonce: string, user: string) => html`
  <form id="login" method="post" hidden>
    <p id="error" role="alert"></p>
    <label>
      ${user}
      <input
        name="user"
        autocomplete="username"
        autocapitalize="none"
        spellcheck="false"
        required
        autofocus
      />
    </label>
    <label>
      Password
      <input name="password" type="password" autocomplete="current-password" required />
    </label>
    <button id="button">Log in</button>
  </form>
  <p id="done" role="status" hidden>You are logged in. You can go back to your application.</p>
  ${needsScript(nonce)}
  <script nonce="${nonce}">
    ${raw(script)}
  </script>
`

const script = `
const [form, error, button, done] = ['login', 'error', 'button', 'done'].map((id) => document.getElementById(id))
form.hidden = false
form.querySelector('input').focus()

function loginRequest(fields) {
  const user = fields.get('user').trim()
  // No user name or id has an @ after its first character.
  const identifier = /^[^@].*@/.test(user)
    ? { type: 'm.id.thirdparty', medium: 'email', address: user }
    : { type: 'm.id.user', user }
  const request = { type: 'm.login.password', identifier, password: fields.get('password') }
  const query = new URLSearchParams(location.search)
  for (const name of ['device_id', 'initial_device_display_name']) {
    if (query.has(name)) request[name] = query.get(name)
  }
  if (query.get('refresh_token') === 'true') request.refresh_token = true
  return request
}

async function login() {
  // Nobody would ever end the session that would be made.
  if (!window.matrixLogin) throw new Error('This page is to be opened by a Matrix application')
  const body = JSON.stringify(loginRequest(new FormData(form)))
  const response = await fetch('/_matrix/client/v3/login', { method: 'POST', body })
  const answer = await response.json()
  if (!response.ok) throw new Error(answer.error)
  return answer
}

form.addEventListener('submit', async (event) => {
  event.preventDefault()
  button.disabled = true
  error.textContent = ''
  try {
    const answer = await login()
    window.matrixLogin.onLogin(answer)
    form.hidden = true
    done.hidden = false
  } catch (failure) {
    error.textContent = failure.message
  } finally {
    button.disabled = false
  }
})
`
