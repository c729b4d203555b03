// Where a login token goes. Specification: client-server API, "Handling the callback from the Authentication server" and the
// security considerations of "SSO client login/authentication".

const longest = 4096

// What browsers run or open by themselves, instead of handing it to an application.
const forbidden = new Set(
  `javascript data vbscript blob file filesystem about view-source chrome chrome-extension moz-extension resource jar intent
  ws wss ftp mailto tel sms`
    .trim()
    .split(/\s+/)
    .map((scheme) => `${scheme}:`),
)

/** The `redirectUrl` of a client: of the web, or of a scheme that an application has registered. Undefined for any other. */
export function parseRedirectUrl(text: string): URL | undefined {
  const url = text.length > longest ? null : URL.parse(text)
  if (!url || forbidden.has(url.protocol)) return undefined
  // URLs may have these in a host, where a Content-Security-Policy would read them its own way.
  if (/[;,*'"]/.test(url.host)) return undefined
  // Only to mislead those who are asked whether they know the site.
  return url.username === '' && url.password === '' ? url : undefined
}

/** Whether a URL is one of a client that the operator knows: same scheme, host and port, and below the path. */
export function isKnownClient(known: readonly URL[], url: URL): boolean {
  return known.some(
    ({ protocol, host, pathname }) =>
      url.protocol === protocol && url.host === host && isBelow(url.pathname, pathname),
  )
}

function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`) || folder === ''
}

/** A URL with the token in its query. What else there is in it stays as the client wrote it, but for earlier tokens. */
export function withLoginToken(url: URL, token: string): string {
  const result = new URL(url)
  const kept = url.search.replace(/^\?/, '').split('&').filter(isKept)
  result.search = [...kept, `loginToken=${encodeURIComponent(token)}`].join('&')
  return result.href
}

function isKept(parameter: string): boolean {
  return parameter !== '' && !new URLSearchParams(parameter).has('loginToken')
}

/** Who gets the token, as people are told. */
export function clientName(url: URL): string {
  return isOfWeb(url) ? url.origin : `${url.protocol}${url.host && `//${url.host}`}`
}

/** The same for a Content-Security-Policy. */
export function cspSource(url: URL): string {
  // It knows no IPv6 addresses.
  return isOfWeb(url) && !url.hostname.startsWith('[') ? url.origin : url.protocol
}

function isOfWeb({ protocol }: URL): boolean {
  return protocol === 'https:' || protocol === 'http:'
}
