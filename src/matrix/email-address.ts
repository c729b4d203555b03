// E-mail addresses as third-party identifiers. Specification: appendices, "3PID Types", "E-Mail".

// One @, nothing that separates or comments in a mail's header, no control characters, no white space.
const localPart = /^[\p{L}\p{M}\p{N}.!#$%&'*+/=?^_`{|}~-]+$/u
const domainLabel = /^[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}-]*[\p{L}\p{M}\p{N}])?$/u
// RFC 5321.
const longestAddress = 254
const longestLocalPart = 64

/**
 * The canonical form of an address `user@domain`, undefined for what is none: no name, no angle brackets, no `mailto:`.
 * Mail about an account must go to this form: somebody else may have another one of those that are taken for the same.
 */
export function canonicalEmail(address: string): string | undefined {
  if (address.length > longestAddress) return undefined
  const canonical = foldCase(address)
  if (Buffer.byteLength(canonical) > longestAddress) return undefined
  const parts = canonical.split('@')
  const [local = '', domain = ''] = parts
  if (parts.length !== 2 || local.length > longestLocalPart || !localPart.test(local)) return undefined
  if (!domain.split('.').every((label) => label.length <= 63 && domainLabel.test(label))) return undefined
  return canonical
}

/** The domain of an address in canonical form. */
export function emailDomain(address: string): string {
  return address.slice(address.indexOf('@') + 1)
}

// Unicode's case folding, letter by letter: what has the same capitals is the same, but for the dotless i, whose capital is
// that of another letter.
function foldCase(text: string): string {
  const letters = Array.from(text, (letter) =>
    letter === 'ı' ? letter : letter.toLowerCase().toUpperCase().toLowerCase(),
  )
  return letters.join('').normalize('NFC')
}
