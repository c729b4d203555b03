// Where the answers to authorization requests go: what clients may register, and what then counts as registered.
// Specification: client-server API, "Redirect URI validation"; RFC 8252, section 7.

export type ApplicationType = 'web' | 'native'

const longest = 2048
// RFC 3986: all that a URI consists of. Browsers take more, and then not all the same way.
const uriText = /^[\w.~:/?[\]@!$&'()*+,;=%-]+$/
// Browsers let a host have more, of which a Content-Security-Policy would make something else.
const hostName = /^[\w-]+(?:\.[\w-]+)*$/

/** Whether a client may have a redirect URI. */
export function isRedirectUri(text: string, type: ApplicationType, clientUri: URL): boolean {
  // Never a fragment, not even an empty one.
  const url = text.length > longest || !uriText.test(text) ? null : URL.parse(text)
  if (!url) return false
  // Without both slashes it would be an address of whatever page leads there.
  if (url.protocol === 'https:') return /^https:\/\/[^/]/i.test(text) && isBelow(url, clientUri)
  if (type === 'web') return false
  return url.protocol === 'http:' ? isLoopback(text) : isPrivateUse(text, url, clientUri)
}

/** Whether a URL is an https URL of the host of the client, or of a subdomain, with any port. */
export function isBelow(url: URL, { hostname }: URL): boolean {
  if (url.protocol !== 'https:' || url.username !== '' || url.password !== '') return false
  if (!hostName.test(url.hostname)) return false
  return url.hostname === hostname || url.hostname.endsWith(`.${hostname}`)
}

// Without a port: at each authorization it may be another. The text itself says whether there is one: :80 is none to a URL.
function isLoopback(text: string): boolean {
  return /^http:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?:[/?]|$)/i.test(text)
}

// The scheme begins with the client's host, read backwards, and nothing but a path follows.
function isPrivateUse(text: string, { protocol, host, username }: URL, { hostname }: URL): boolean {
  const reversed = hostname.split('.').toReversed().join('.')
  const scheme = protocol.slice(0, -1)
  const after = text.slice(protocol.length)
  if (host !== '' || username !== '' || after.startsWith('//')) return false
  return scheme === reversed || scheme.startsWith(`${reversed}.`)
}

/** Whether a redirect URI of a request is one that was registered: the same text, or a loopback address with another port. */
export function isRegistered(text: string, registered: readonly string[]): boolean {
  if (registered.includes(text)) return true
  const match = /^(http:\/\/(?:localhost|127\.0\.0\.1|\[::1\])):\d{1,5}(?=[/?]|$)/i.exec(text)
  // No port is above 65535.
  if (!match || !URL.canParse(text)) return false
  return registered.includes(`${match[1]}${text.slice(match[0].length)}`)
}
