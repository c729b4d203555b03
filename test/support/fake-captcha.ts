// A captcha service on 127.0.0.1 that says what a test wants about the responses it is asked for.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { JsonValue } from '../../src/matrix/json.ts'

export interface CaptchaReply {
  readonly status?: number
  readonly body: JsonValue
}

export type FakeCaptcha = Awaited<ReturnType<typeof startFakeCaptcha>>

/** Starts one. The response `solved` is right, unless `reply` says otherwise. */
export async function startFakeCaptcha() {
  const asked: Record<string, string>[] = []
  const captcha = {
    url: '',
    /** The form fields of each request. */
    asked,
    /** Undefined for no answer at all. */
    reply: (fields: Record<string, string>): CaptchaReply | undefined => standardReply(fields),
    stop: async () => {
      server.closeAllConnections()
      await new Promise((closed) => server.close(closed))
    },
  }
  const server = createServer(async (request, response) => {
    const body: Buffer[] = await request.toArray()
    const fields = Object.fromEntries(new URLSearchParams(Buffer.concat(body).toString()))
    const form = request.headers['content-type']?.startsWith('application/x-www-form-urlencoded') === true
    asked.push(fields)
    const reply = request.method === 'POST' && form ? captcha.reply(fields) : { status: 405, body: {} }
    if (reply === undefined) {
      request.socket.destroy()
      return
    }
    response.writeHead(reply.status ?? 200, { 'Content-Type': 'application/json' })
    response.end(JSON.stringify(reply.body))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  captcha.url = `http://127.0.0.1:${port}/siteverify`
  return captcha
}

function standardReply({ secret, response }: Record<string, string>): CaptchaReply {
  if (secret !== 'secret key') return { body: { success: false, 'error-codes': ['invalid-input-secret'] } }
  return response === 'solved'
    ? { body: { success: true, hostname: 'test.local' } }
    : { body: { success: false, 'error-codes': ['invalid-input-response'] } }
}
