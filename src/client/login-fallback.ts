// A page that does the whole login, for clients that cannot. Specification: client-server API, "Login Fallback".

import { html, raw } from 'hono/html'
import { config } from '../config.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { providerLinks } from '../sso/provider-links.ts'
import type { SsoSettings } from '../sso/sso-settings.ts'
import { needsScript, showPage } from '../web/page.ts'

/** Where the page is. */
export const loginFallbackPath = '/_matrix/static/client/login/'

/** GET /_matrix/static/client/login/. */
export function loginFallbackRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#login-fallback
  app.get(loginFallbackPath, async (c) => {
    const { sso, passwordLogin } = config(c.env)
    return await showPage(c, {
      title: 'Log in',
      sources: { connect: ["'self'"] },
      content: (nonce) => html`
        <p id="error" role="alert"></p>
        <div id="ways" hidden>
          ${sso ? providerLinks(sso.providers, (id) => ssoLink(c, sso, id)) : ''}
          ${passwordLogin ? passwordForm(c) : ''}
        </div>
        <p id="done" role="status" hidden>You are logged in. You can go back to your application.</p>
        ${needsScript(nonce)}
        <script nonce="${nonce}">
          ${raw(script)}
        </script>
      `,
    })
  })
}

/** Through single sign-on, and back to this page with what it was opened with. */
function ssoLink(c: AppContext, { baseUrl }: SsoSettings, id: string): string {
  const query = new URL(c.req.url).searchParams
  query.delete('loginToken')
  const redirectUrl = `${baseUrl}${loginFallbackPath}${query.size === 0 ? '' : `?${query.toString()}`}`
  return `${baseUrl}/_matrix/client/v3/login/sso/redirect/${id}?redirectUrl=${encodeURIComponent(redirectUrl)}`
}

// It appears with the script: without it, it would send the password to a place that does not take it.
const passwordForm = (c: AppContext) => html`
  <form id="login" method="post">
    <label>
      ${config(c.env).mail ? 'User name or e-mail address' : 'User name'}
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
`

const script = `
const [ways, form, error, button, done] = ['ways', 'login', 'error', 'button', 'done'].map((id) => document.getElementById(id))
const query = new URLSearchParams(location.search)
const token = query.get('loginToken')
// Whoever gives somebody else a link with a token of their own shall not log them in to another account than they think.
const begun = 'hearth single sign-on'

function passwordRequest(fields) {
  const user = fields.get('user').trim()
  // No user name or id has an @ after its first character.
  const identifier = /^[^@].*@/.test(user)
    ? { type: 'm.id.thirdparty', medium: 'email', address: user }
    : { type: 'm.id.user', user }
  return { type: 'm.login.password', identifier, password: fields.get('password') }
}

function withDevice(request) {
  for (const name of ['device_id', 'initial_device_display_name']) {
    if (query.has(name)) request[name] = query.get(name)
  }
  if (query.get('refresh_token') === 'true') request.refresh_token = true
  return request
}

async function login(request) {
  // Nobody would ever end the session that would be made.
  if (!window.matrixLogin) throw new Error('This page is to be opened by a Matrix application')
  const body = JSON.stringify(withDevice(request))
  const response = await fetch('/_matrix/client/v3/login', { method: 'POST', body })
  const answer = await response.json()
  if (!response.ok) throw new Error(answer.error)
  window.matrixLogin.onLogin(answer)
  ways.hidden = true
  done.hidden = false
}

function show() {
  ways.hidden = false
  form?.querySelector('input').focus()
}

form?.addEventListener('submit', async (event) => {
  event.preventDefault()
  button.disabled = true
  error.textContent = ''
  try {
    await login(passwordRequest(new FormData(form)))
  } catch (failure) {
    error.textContent = failure.message
  } finally {
    button.disabled = false
  }
})

ways.querySelector('nav')?.addEventListener('click', () => sessionStorage.setItem(begun, 'yes'))

if (token === null) {
  show()
} else {
  query.delete('loginToken')
  history.replaceState(null, '', location.pathname + (query.size === 0 ? '' : '?' + query))
  const expected = sessionStorage.getItem(begun) === 'yes'
  sessionStorage.removeItem(begun)
  const attempt = expected ? login({ type: 'm.login.token', token }) : Promise.reject(new Error('Please log in again'))
  attempt.catch((failure) => {
    error.textContent = failure.message
    show()
  })
}
`
