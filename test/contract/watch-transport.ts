// What servers of ours ask other servers, watched on its way through the launcher's transport. Answers are checked too
// where the other server is also one of ours, not one that a test makes up.

import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { NodeHandler } from '../../scripts/federation-transport.ts'
import { documentsAreHere } from './documents.ts'
import { record } from './recorder.ts'
import { dictated } from './watch-fetch.ts'

const ours = new Set<string>()

/** Tells that a server of this name is one of ours. */
export function isOneOfOurs(serverName: string): void {
  ours.add(serverName)
}

/** The same transport, watched. */
export function watchTransport(transport: NodeHandler): NodeHandler {
  return documentsAreHere ? watched(transport) : transport
}

function watched(transport: NodeHandler): NodeHandler {
  return async (request, response) => {
    const { headers } = request
    const target = targetOf(headers)
    if (target === undefined) return await transport(request, response)
    const body = Buffer.concat(await request.toArray())
    const answer = watchAnswer(response)
    response.once('close', () => {
      const status = Number(answer.headers.get('X-Hearth-Status'))
      // Without that no server has answered; one that breaks off has not answered either.
      if (!(status >= 200) || !response.writableFinished) return
      record({
        method: String(headers['x-hearth-method'] ?? 'GET'),
        target,
        requestHeaders: headersOf(headers),
        requestBody: body.toString(),
        status,
        headers: answer.headers,
        body: isJson(answer.headers) ? Buffer.concat(answer.chunks).toString() : undefined,
        askedByUs: !dictated.has(target.split('?', 1)[0] ?? ''),
        answeredByUs: ours.has(String(headers['x-hearth-destination'])),
      })
    })
    return await transport(replayed(request, body), response)
  }
}

// Push gateways and identity servers are asked as web servers are; other requests to those are no part of an API.
function targetOf(headers: IncomingHttpHeaders): string | undefined {
  const { 'x-hearth-uri': uri, 'x-hearth-url': url } = headers
  if (typeof uri === 'string') return uri
  const { pathname, search } = new URL(String(url))
  return pathname.startsWith('/_matrix/') ? pathname + search : undefined
}

interface WatchedAnswer {
  headers: Headers
  readonly chunks: Buffer[]
}

function watchAnswer(response: ServerResponse): WatchedAnswer {
  const answer: WatchedAnswer = { headers: new Headers(), chunks: [] }
  const writeHead = response.writeHead.bind(response)
  response.writeHead = (status: number, headers?: unknown) => {
    const fields = headers as OutgoingHttpHeaders
    answer.headers = headersOf(fields)
    return writeHead(status, fields)
  }
  response.once('pipe', (source: Readable) => source.on('data', (chunk: Buffer) => answer.chunks.push(chunk)))
  return answer
}

// The request again, since its body has been read.
function replayed({ headers, method, url }: IncomingMessage, body: Buffer): IncomingMessage {
  return Object.assign(Readable.from([body]), { headers, method, url }) as IncomingMessage
}

function headersOf(fields: OutgoingHttpHeaders): Headers {
  return new Headers(
    Object.entries(fields).flatMap(([name, value]): [string, string][] =>
      typeof value === 'string' ? [[name, value]] : [],
    ),
  )
}

function isJson(headers: Headers): boolean {
  return headers.get('Content-Type')?.startsWith('application/json') === true
}
