// The global `fetch` of a test, watched: what it asks of 127.0.0.1 is checked. An answer in JSON is read before it is handed
// on, which tests do not notice.

import { isJsonObject, stringProperty } from '../../src/matrix/json.ts'
import { documentsAreHere } from './documents.ts'
import { record } from './recorder.ts'

const watched = /^\/(?:_matrix|\.well-known\/matrix)\//

/** What is asked by it is not checked: for tests that ask for what no document allows. */
export const unwatchedFetch = globalThis.fetch

/** Paths of requests that tests have dictated to servers. */
export const dictated = new Set<string>()

let watching = false

/** Watches from now on, if the documents are here. */
export function watchFetch(): void {
  if (!documentsAreHere || watching) return
  watching = true
  globalThis.fetch = async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input)
    if (url.pathname === '/__call') noteDictated(textOf(init?.body))
    const response = await unwatchedFetch(input, init)
    const method = (init?.method ?? (input instanceof Request ? input.method : 'GET')).toUpperCase()
    if (response.redirected || !isOurs(url) || !/^(?:GET|PUT|POST|DELETE)$/.test(method)) return response
    const body = isJson(response.headers) ? await response.clone().text() : undefined
    record({
      method,
      target: url.pathname + url.search,
      requestHeaders: new Headers(init?.headers ?? (input instanceof Request ? input.headers : {})),
      requestBody: textOf(init?.body),
      status: response.status,
      headers: response.headers,
      body,
      askedByUs: false,
      answeredByUs: true,
    })
    return response
  }
}

// What test/support/federation-entry.ts has a server ask, its content is the test's.
function noteDictated(body: string | undefined): void {
  const call: unknown = JSON.parse(body ?? '')
  const path = isJsonObject(call) ? stringProperty(call, 'path') : undefined
  if (path !== undefined) dictated.add(path)
}

function isOurs({ hostname, pathname }: URL): boolean {
  return (hostname === '127.0.0.1' || hostname === 'localhost') && watched.test(pathname)
}

function textOf(body: BodyInit | null | undefined): string | undefined {
  return typeof body === 'string' ? body : body === undefined || body === null ? '' : undefined
}

function isJson(headers: Headers): boolean {
  return headers.get('Content-Type')?.startsWith('application/json') === true
}
