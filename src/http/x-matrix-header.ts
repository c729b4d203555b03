// Reading Authorization headers with the scheme X-Matrix.
// Server-server API, "Request Authentication"; RFC 9110, sections 5.6 and 11.4.

import type { ServerName } from '../matrix/event.ts'
import { parseServerName } from '../matrix/identifiers.ts'
import { isEd25519KeyId } from '../matrix/signing.ts'

/** One signature of a request. */
export interface XMatrixCredentials {
  readonly origin: ServerName
  /** Left out by servers older than v1.3 of the specification. */
  readonly destination?: string
  readonly keyId: string
  /** Base64, not looked at yet. */
  readonly signature: string
}

const mostCredentials = 10
// RFC 9110 tokens; values may also hold colons, which older servers send without quotes.
const token = String.raw`[!#$%&'*+.^_\x60|~0-9A-Za-z-]+`
const value = String.raw`[!#$%&'*+.^_\x60|~0-9A-Za-z:-]+`
const quoted = String.raw`"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"`
const space = String.raw`[ \t]*`
const parameter = new RegExp(`${space}(${token})${space}=${space}(${quoted}|${value})${space}`, 'y')
const scheme = new RegExp(`${space}(${token}) +(?=${token}${space}=)`, 'y')

/**
 * The signatures that a request came with. Several headers arrive as one, joined by commas. Undefined if anything but
 * X-Matrix credentials is there, if one is malformed or lacks a parameter, or if there are none.
 */
export function parseXMatrix(header: string): XMatrixCredentials[] | undefined {
  const lists = parameterLists(header)
  if (lists === undefined || lists.length > mostCredentials) return undefined
  const credentials = lists.map(credentialsOf).filter((found) => found !== undefined)
  return credentials.length > 0 && credentials.length === lists.length ? credentials : undefined
}

/** The parameters of each credentials in the header, names in lower case. */
function parameterLists(header: string): Map<string, string>[] | undefined {
  const lists: Map<string, string>[] = []
  for (let at = 0; ;) {
    const start = matchAt(scheme, header, at)
    if (start) {
      if (start[1]?.toLowerCase() !== 'x-matrix') return undefined
      lists.push(new Map())
      at += start[0].length
    }
    const found = matchAt(parameter, header, at)
    const parameters = lists.at(-1)
    if (!found || !parameters) return undefined
    const [whole, name = '', text = ''] = found
    // A name that comes twice could be read differently by whoever passed the request on.
    if (parameters.has(name.toLowerCase())) return undefined
    parameters.set(name.toLowerCase(), unquoted(text))
    at += whole.length
    if (at === header.length) return lists
    if (header[at] !== ',') return undefined
    at += 1
  }
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}

function unquoted(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, '$1') : text
}

function credentialsOf(parameters: ReadonlyMap<string, string>): XMatrixCredentials | undefined {
  const origin = parseServerName(parameters.get('origin') ?? '')
  const destination = parameters.get('destination')
  const keyId = parameters.get('key')
  // The specification's list calls it `signature`; its examples, and all servers, `sig`.
  const signature = parameters.get('sig') ?? parameters.get('signature')
  if (origin === undefined || keyId === undefined || signature === undefined) return undefined
  if (!isEd25519KeyId(keyId)) return undefined
  return { origin, keyId, signature, ...(destination === undefined ? {} : { destination }) }
}
