// A server that lets ours into a large room, and the servers of all who are in it: one process that listens on one port of
// many loopback addresses, which are their names.

import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { isJsonObject, type JsonObject, objectProperty } from '../../src/matrix/json.ts'
import { signJson } from '../../src/matrix/signing.ts'
import type { Authority } from './certificates.ts'
import { keyDocument } from './fake-homeserver.ts'
import { type LargeRoom, newOrigin, type Origin } from './large-room.ts'

export type Resident = Awaited<ReturnType<typeof startResident>>

/** Starts so many servers. The first of them lets others into the rooms that it is given, and is a notary. */
export async function startResident(authority: Authority, servers: number) {
  const addresses = Array.from({ length: servers }, (_, i) => `127.1.${i >> 8}.${i & 255}`)
  const rooms = new Map<string, LargeRoom>()
  const origins = new Map<string, Origin>()
  const asked = { directly: 0, asNotary: 0, toJoin: 0 }
  let keysHeld: Promise<void> | undefined
  const server = createServer(authority.issue(...addresses), (request, response) => {
    void answer(request, response)
  })
  await once(server.listen(0, '0.0.0.0'), 'listening')
  const { port } = server.address() as AddressInfo
  for (const address of addresses) origins.set(`${address}:${port}`, newOrigin(`${address}:${port}`))
  const [notary] = [...origins.values()]
  if (!notary) throw new Error('there must be a server')

  const documentOf = (name: string): JsonObject[] => {
    const origin = origins.get(name)
    return origin ? [keyDocument(name, [origin])] : []
  }
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const body = Buffer.concat((await request.toArray()) as Buffer[]).toString()
    const [, , area, version, endpoint = '', roomId = '', what = ''] = (request.url ?? '')
      .replace(/\?.*/, '')
      .split('/')
      .map(decodeURIComponent)
    const room = rooms.get(roomId)
    const json = (content: unknown, status = 200) => response.writeHead(status).end(JSON.stringify(content))
    if (area === 'key' && endpoint === 'server') {
      asked.directly += 1
      await keysHeld
      return json(documentOf(request.headers.host ?? '')[0] ?? {})
    }
    if (area === 'key' && endpoint === 'query') {
      asked.asNotary += 1
      const query: unknown = JSON.parse(body)
      const names = isJsonObject(query) ? Object.keys(objectProperty(query, 'server_keys') ?? {}) : []
      const documents = names.flatMap(documentOf)
      const signed = documents.map((one) => signJson(one, notary.serverName, notary.keyId, notary.key))
      return json({ server_keys: signed })
    }
    if (room && endpoint === 'make_join') {
      const member = { type: 'm.room.member', room_id: roomId, sender: what, state_key: what }
      const event = { ...member, content: { membership: 'join' }, origin_server_ts: Date.now(), ...room.next }
      return json({ room_version: room.version, event })
    }
    if (room && endpoint === 'send_join' && version === 'v2') {
      asked.toJoin += 1
      return response.writeHead(200).end(room.answer)
    }
    return json({ errcode: 'M_NOT_FOUND', error: 'Not here' }, 404)
  }

  return {
    serverName: notary.serverName,
    origins: [...origins.values()],
    /** How often servers were asked for their keys, the notary for those of others, and the first server to let somebody in. */
    asked,
    let: (room: LargeRoom) => rooms.set(room.roomId, room),
    /** Lets no server tell its keys until what is returned is called. */
    holdKeys(): () => void {
      const { promise, resolve } = Promise.withResolvers<void>()
      keysHeld = promise
      return () => {
        keysHeld = undefined
        resolve()
      }
    },
    async stop(): Promise<void> {
      server.closeAllConnections()
      await new Promise((closed) => server.close(closed))
    },
  }
}
