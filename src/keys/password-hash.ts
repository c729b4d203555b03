// Password hashes: scrypt in the PHC string format.

import { randomBytes, scryptSync, timingSafeEqual } from 'node:crypto'

// 32 MiB and about a tenth of a second for each hash.
const cost = { ln: 15, r: 8, p: 1 }
const keyBytes = 32
const saltBytes = 16
const maxMemory = 64 * 1024 * 1024
const shape = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})$/

/** A hash of a password with a new salt, as a PHC string. */
export function hashPassword(password: string): string {
  const salt = randomBytes(saltBytes)
  const key = derive(password, salt, cost)
  return `$scrypt$ln=${cost.ln},r=${cost.r},p=${cost.p}$${unpadded(salt)}$${unpadded(key)}`
}

/** Whether a password fits a PHC string. Without one it costs the same and the answer is false. */
export function isPasswordOf(phc: string | null, password: string): boolean {
  const match = shape.exec(phc ?? noPassword)
  if (match === null) return false
  const [, ln, r, p, salt = '', key = ''] = match
  const derived = derive(password, Buffer.from(salt, 'base64'), {
    ln: Number(ln),
    r: Number(r),
    p: Number(p),
  })
  return timingSafeEqual(derived, Buffer.from(key, 'base64')) && phc !== null
}

const noPassword = `$scrypt$ln=${cost.ln},r=${cost.r},p=${cost.p}$${'A'.repeat(22)}$${'A'.repeat(43)}`

function derive(password: string, salt: Uint8Array, { ln, r, p }: typeof cost): Buffer {
  // Keyboards differ in how they compose the same characters.
  const text = password.normalize('NFKC')
  return scryptSync(text, salt, keyBytes, { N: 2 ** ln, r, p, maxmem: maxMemory })
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '')
}
