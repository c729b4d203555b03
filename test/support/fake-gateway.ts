// A push gateway on 127.0.0.1 that keeps what it is told, and answers as a test wants.

import { setTimeout as sleep } from 'node:timers/promises'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import type { Authority } from './certificates.ts'
import { startFakeHomeserver } from './fake-homeserver.ts'

/** A notification as it came. */
export interface Notification extends JsonObject {
  counts: JsonObject
  devices: JsonObject[]
}

export interface GatewayReply {
  readonly status?: number
  readonly rejected?: string[]
  readonly headers?: Readonly<Record<string, string>>
}

const path = '/_matrix/push/v1/notify'

export type FakeGateway = Awaited<ReturnType<typeof startFakeGateway>>

/** Starts one. `reply` may be changed at any time. */
export async function startFakeGateway(authority: Authority, name = 'gateway.test') {
  const server = await startFakeHomeserver(authority, name)
  const received: Notification[] = []
  const gateway = {
    url: `https://${server.serverName}${path}`,
    /** All notifications so far. */
    received,
    reply: (): GatewayReply => ({}),
    /** The notifications for a pushkey once there are so many. Rejects after ten seconds. */
    async notified(pushkey: string, count = 1): Promise<Notification[]> {
      for (let tries = 0; tries < 200; tries++) {
        const found = received.filter(({ devices }) =>
          devices.some((device) => device['pushkey'] === pushkey),
        )
        if (found.length >= count) return found
        await sleep(50)
      }
      throw new Error(`the gateway has ${JSON.stringify(received)}`)
    },
    stop: () => server.stop(),
  }
  server.route(path, (_, response, body) => {
    const { notification }: { notification: Notification } = JSON.parse(body)
    received.push(notification)
    const { status = 200, rejected = [], headers = {} } = gateway.reply()
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers })
    response.end(JSON.stringify({ rejected }))
  })
  return gateway
}

/** The body that sets a pusher. */
export function pusherBody(
  pushkey: string,
  url: string,
  more: Readonly<Record<string, JsonValue>> = {},
): JsonObject {
  return {
    kind: 'http',
    app_id: 'test.app',
    pushkey,
    app_display_name: 'App',
    device_display_name: 'Phone',
    lang: 'en',
    data: { url },
    ...more,
  }
}
