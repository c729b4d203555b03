// What an account is made of that somebody gets who signs in for the first time: from the claims of their provider.
// Specification: client-server API, "Handling the callback from the Authentication server"; appendices, "Mapping from other
// character sets".

import { asciiLowerCase } from '../http/user-identifier.ts'
import { canonicalEmail } from '../matrix/email-address.ts'
import { type JsonObject, property, stringProperty } from '../matrix/json.ts'
import type { Identified } from './openid-client.ts'
import type { SsoProvider } from './sso-settings.ts'

export interface NewIdentity {
  readonly subject: string
  /** The user name that the provider has for them, in lower case; it may be taken, or none of ours. */
  readonly localpart?: string
  /** What they may want to be called where that is so. */
  readonly suggestion: string
  readonly displayName?: string
  /** In canonical form; only one that the provider has verified. */
  readonly email?: string
}

// As for profiles, in bytes.
const longestDisplayName = 256

/** The claims that the operator has named; the userinfo endpoint is asked only where one of them is missing. */
export async function newIdentity(provider: SsoProvider, identified: Identified): Promise<NewIdentity> {
  const { localpartClaim, displayNameClaim, emailClaim } = provider
  const wanted = [localpartClaim, displayNameClaim, emailClaim].filter((name) => name !== undefined)
  const isMissing = wanted.some((name) => property(identified.claims, name) === undefined)
  // What is signed counts for more.
  const userInfo = isMissing ? await identified.userInfo() : {}
  const claims = { ...userInfo, ...identified.claims }
  const name = textClaim(claims, localpartClaim)
  // With spaces around it, it may be the name of somebody else there.
  const localpart =
    localpartClaim !== undefined && property(claims, localpartClaim) === name ? name : undefined
  const displayName = shortened(textClaim(claims, displayNameClaim) ?? '')
  // Whoever says an address must be the one that has verified it.
  const isSigned = emailClaim !== undefined && property(identified.claims, emailClaim) !== undefined
  const email = verifiedEmail(isSigned ? identified.claims : userInfo, emailClaim)
  return {
    subject: identified.subject,
    ...(localpart === undefined ? {} : { localpart: asciiLowerCase(localpart) }),
    suggestion: suggestedLocalpart(name ?? email ?? displayName),
    ...(displayName === '' ? {} : { displayName }),
    ...(email === undefined ? {} : { email }),
  }
}

/** Something that can be a user name, made of a text that may be none: accents go, other letters become dashes. */
export function suggestedLocalpart(text: string): string {
  return text
    .replace(/@.*$/s, '')
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9._=/+-]+/g, '-')
    .replace(/^[-_]+|-+$/g, '')
    .slice(0, 64)
}

function textClaim(claims: JsonObject, name: string | undefined): string | undefined {
  const text = name === undefined ? undefined : stringProperty(claims, name)?.trim()
  return text === '' ? undefined : text?.slice(0, 1024)
}

// OpenID Connect Core, "Standard Claims": `email_verified` says that the provider has made sure whose the address is.
function verifiedEmail(claims: JsonObject, name: string | undefined): string | undefined {
  const email = textClaim(claims, name)
  if (email === undefined || property(claims, 'email_verified') !== true) return undefined
  const canonical = canonicalEmail(email)
  // What is the same but for more than A-Z may be somebody else's: straße.example and strasse.example are two domains.
  return canonical === asciiLowerCase(email) ? canonical : undefined
}

function shortened(text: string): string {
  let short = text.slice(0, longestDisplayName)
  while (Buffer.byteLength(short) > longestDisplayName) short = short.slice(0, -1)
  return short.toWellFormed()
}
