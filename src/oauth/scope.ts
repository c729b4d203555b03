// What clients ask for. Specification: client-server API, "Scope"; RFC 6749, section 3.3. Deployed clients still use the names that
// MSC2967 had at first.

import { OauthError } from './oauth-error.ts'

export interface Scope {
  /** The scope tokens that are granted, in the words of the client, with spaces between them. */
  readonly text: string
  readonly deviceId: string
}

const fullAccess = new Set(['urn:matrix:client:api:*', 'urn:matrix:org.matrix.msc2967.client:api:*'])
const device = /^urn:matrix:(?:client|org\.matrix\.msc2967\.client):device:(.*)$/
const scopeText = /^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/

// As at login.
const longestDeviceId = 255

/** The scope of a request. What this server does not know is not granted, which is no error. OauthError invalid_scope. */
export function parseScope(text: string | undefined): Scope {
  if (text === undefined || !scopeText.test(text)) throw wrong('Missing or malformed scope')
  const tokens = [...new Set(text.split(' '))]
  const access = tokens.filter((token) => fullAccess.has(token))
  const devices = tokens.filter((token) => device.test(token))
  // There is nothing less to be had yet, and a session without access is of no use.
  if (access.length === 0) throw wrong('The scope must contain urn:matrix:client:api:*')
  const [token, ...others] = devices
  // Exactly one device is allotted: by the client.
  if (token === undefined || others.length > 0) throw wrong('The scope must contain one device')
  const deviceId = device.exec(token)?.[1] ?? ''
  if (deviceId === '' || deviceId.length > longestDeviceId) throw wrong('No such device id is possible')
  return { text: [...access, token].join(' '), deviceId }
}

/**
 * Checks the scope of a refresh, where there is one: what was not agreed to is not to be had that way (RFC 6749, section 6). What this
 * server does not know counts for as little as the first time: clients send again what they asked for then. OauthError invalid_scope.
 */
export function checkNoMore(text: string | undefined, granted: string): void {
  if (text === undefined) return
  if (!scopeText.test(text)) throw wrong('Malformed scope')
  const agreed = new Set(granted.split(' ').map(stableName))
  const known = text.split(' ').filter((token) => fullAccess.has(token) || device.test(token))
  if (!known.every((token) => agreed.has(stableName(token)))) throw wrong('The scope was not agreed to')
}

const stableName = (token: string) =>
  token.replace(/^urn:matrix:org\.matrix\.msc2967\.client:/, 'urn:matrix:client:')

function wrong(description: string): OauthError {
  return new OauthError('invalid_scope', description)
}
