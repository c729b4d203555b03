// Somebody with a browser, as far as single sign-on needs one: cookies, forms, and redirects that a test follows step by step.

import type { FakeProvider, Claims } from './fake-openid-provider.ts'

interface Cookie {
  readonly value: string
  readonly path: string
}

export interface Shown {
  readonly status: number
  readonly location: string | null
  readonly headers: Headers
  readonly text: string
}

export type Visitor = ReturnType<typeof newVisitor>

/** Opens a browser. */
export function newVisitor(serverUrl: string) {
  const cookies = new Map<string, Cookie>()

  async function open(target: string, init: RequestInit = {}): Promise<Shown> {
    const url = new URL(target, serverUrl)
    const sent = [...cookies].filter(([, { path }]) => url.pathname.startsWith(path))
    const response = await fetch(url, {
      ...init,
      redirect: 'manual',
      headers:
        sent.length === 0 ? {} : { Cookie: sent.map(([name, { value }]) => `${name}=${value}`).join('; ') },
    })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      const path = /Path=([^;]+)/.exec(line)?.[1] ?? '/'
      if (/Max-Age=0/.test(line)) cookies.delete(name)
      else cookies.set(name, { value, path })
    }
    const { status, headers } = response
    return { status, headers, location: headers.get('Location'), text: await response.text() }
  }

  const visitor = {
    cookies,
    open,
    /** Sends the form of a page, with what somebody has filled in. */
    submit: async (page: Shown, filledIn: Readonly<Record<string, string>> = {}): Promise<Shown> => {
      const action = attribute(/<form[^>]*>/.exec(page.text)?.[0] ?? '', 'action')
      const inputs = page.text.match(/<input[^>]*>/g) ?? []
      const hidden = inputs
        .filter((input) => attribute(input, 'type') === 'hidden')
        .map((input) => [attribute(input, 'name'), attribute(input, 'value')])
      const body = new URLSearchParams({ ...Object.fromEntries(hidden), ...filledIn })
      return await open(action, { method: 'POST', body })
    },
    /** The way to a provider: its authorization request. */
    begin: async (redirectUrl: string, idp: string, query: Readonly<Record<string, string>> = {}) => {
      const search = new URLSearchParams({ redirectUrl, ...query }).toString()
      const answer = await open(`/_matrix/client/v3/login/sso/redirect/${idp}?${search}`)
      if (answer.location === null) throw new Error(`no redirect: ${answer.status} ${answer.text}`)
      return answer.location
    },
    /** Signs in as somebody, and answers what the server shows them then. */
    signIn: async (
      provider: FakeProvider,
      claims: Claims,
      { idp = 'fake', redirectUrl = 'https://client.test/', ...query }: Readonly<Record<string, string>> = {},
    ): Promise<Shown> =>
      await open(provider.signIn(await visitor.begin(redirectUrl, idp, query), claims).href),
    /** Follows redirects for as long as they stay on the server. */
    follow: async (shown: Shown): Promise<Shown> => {
      const inside = shown.location?.startsWith(serverUrl) === true ? shown.location : undefined
      return inside === undefined ? shown : await visitor.follow(await open(inside))
    },
  }
  return visitor
}

/** The login token in the address that a client is sent. */
export function loginTokenIn({ location }: Shown): string {
  const token = new URL(location ?? '').searchParams.get('loginToken')
  if (token === null) throw new Error(`no login token in ${location}`)
  return token
}

function attribute(element: string, name: string): string {
  const value = new RegExp(`\\b${name}="([^"]*)"`).exec(element)?.[1] ?? ''
  return value
    .replaceAll('&amp;', '&')
    .replaceAll('&quot;', '"')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
}
