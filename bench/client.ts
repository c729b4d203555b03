// A lean HTTP client: it shares the machine with the server it measures.

import { Agent, request as httpRequest } from 'node:http'
import type { JsonObject } from '../src/matrix/json.ts'

export interface Request {
  readonly token?: string
  /** Sent as JSON, or as it is where it is bytes. */
  readonly body?: JsonObject | Uint8Array
}

export type Client = ReturnType<typeof clientOf>

/** Requests to a server over connections that are kept. A request fails with an Error unless it is answered by 2xx. */
export function clientOf(baseUrl: string) {
  // The server closes a connection that was idle for five seconds: never write to one that is about to be closed.
  const agent = new Agent({ keepAlive: true, maxSockets: 256, timeout: 3000 })
  const text = (method: string, path: string, { token, body }: Request = {}) =>
    new Promise<string>((resolve, reject) => {
      const payload = body === undefined || body instanceof Uint8Array ? body : JSON.stringify(body)
      const headers = {
        ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
        ...(payload === undefined ? {} : { 'Content-Length': Buffer.byteLength(payload) }),
        'Content-Type': payload instanceof Uint8Array ? 'application/octet-stream' : 'application/json',
      }
      const sent = httpRequest(`${baseUrl}${path}`, { method, agent, headers }, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.once('error', reject)
        response.once('end', () => {
          const answer = Buffer.concat(chunks).toString()
          const status = response.statusCode ?? 0
          if (status >= 200 && status < 300) resolve(answer)
          else reject(new Error(`${method} ${path}: ${status} ${answer}`))
        })
      })
      sent.once('error', reject)
      sent.end(payload)
    })
  return {
    text,
    json: async (method: string, path: string, request?: Request): Promise<JsonObject> =>
      JSON.parse(await text(method, path, request)) as JsonObject,
    close: () => agent.destroy(),
  }
}
