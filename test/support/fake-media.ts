// Answers of a homeserver that is asked for its media, right and wrong ones.

import type { ServerResponse } from 'node:http'

export const boundary = 'a-boundary'

/** Media as the content of the second of two parts. */
export function inParts(
  content: Uint8Array | string,
  headers: Readonly<Record<string, string>> = {},
): Buffer {
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.concat([
    Buffer.from(`--${boundary}\r\nContent-Type: application/json\r\n\r\n{}\r\n`),
    Buffer.from(`--${boundary}\r\n${fields.join('')}\r\n`),
    Buffer.from(content),
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ])
}

/** Begins an answer of several parts. */
export function beginParts(response: ServerResponse, headers: Readonly<Record<string, string>> = {}) {
  return response.writeHead(200, { 'Content-Type': `multipart/mixed; boundary=${boundary}`, ...headers })
}

/** A whole answer with media in two parts. */
export function sendParts(
  response: ServerResponse,
  content: Uint8Array | string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const body = inParts(content, headers)
  beginParts(response, { 'Content-Length': String(body.byteLength) }).end(body)
}

/** An error of Matrix. */
export function sendError(response: ServerResponse, status: number, errcode: string): void {
  response
    .writeHead(status, { 'Content-Type': 'application/json' })
    .end(JSON.stringify({ errcode, error: 'no' }))
}
