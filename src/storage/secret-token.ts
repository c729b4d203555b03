// Opaque bearer tokens: handed out once, stored only as a hash.

import { createHash, randomBytes } from 'node:crypto'

/** A new token of 256 random bits, in URL-safe characters. */
export function newSecretToken(): string {
  return randomBytes(32).toString('base64url')
}

/** What is stored of a token: its SHA-256. The token has too much entropy to need more. */
export function tokenHash(token: string): string {
  return createHash('sha256').update(token).digest('base64url')
}
