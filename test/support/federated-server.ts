// A server of ours that others reach over TLS on 127.0.0.1, and that reaches them: names in `.test` lead there.

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { federationTransport, type NameService } from '../../scripts/federation-transport.ts'
import { pidFile } from '../../scripts/runtime.ts'
import { tlsFront } from '../../scripts/tls-front.ts'
import type { Authority } from './certificates.ts'
import { type ServerOptions, startServer } from './server.ts'

/** Every name is 127.0.0.1, and there are no SRV records. */
export const loopbackNames: NameService = {
  addresses: () => Promise.resolve([{ address: '127.0.0.1', family: 4 }]),
  srv: () => Promise.reject(new Error('no records')),
}

// Where nobody listens.
const nobodyThere = 'http://127.0.0.1:9'

export interface FederatedOptions extends ServerOptions {
  /** The port that other servers reach it on, and that is part of its name. Default: any free one. */
  readonly tlsPort?: number
  /** Where requests of other servers go instead of straight to the server: given its base URL, answers that of a proxy. */
  readonly through?: (url: string) => Promise<string>
}

export type FederatedServer = Awaited<ReturnType<typeof startFederatedServer>>

/** Starts one. `name` is its DNS name or IP address; its server name has the port as well. */
export async function startFederatedServer(
  authority: Authority,
  name: string,
  options: FederatedOptions = {},
) {
  const sockets = new Set<{ destroy: () => void }>()
  // The port must be known before the server has its name.
  let url = ''
  const tls = tlsFront(authority.issue(name), () => url || nobodyThere).on('secureConnection', (socket) =>
    sockets.add(socket),
  )
  await once(tls.listen(options.tlsPort ?? 0, '127.0.0.1'), 'listening')
  const { port } = tls.address() as AddressInfo
  const serverName = `${name}:${port}`
  const server = await startServer({
    entry: join(import.meta.dirname, 'federation-entry.ts'),
    federation: federationTransport({
      extraCa: [authority.ca],
      allowPrivateNetworks: true,
      names: loopbackNames,
    }),
    ...options,
    vars: { SERVER_NAME: serverName, ...options.vars },
  })
  url = options.through ? await options.through(server.url) : server.url
  const close = async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((closed) => tls.close(closed))
  }
  return {
    ...server,
    serverName,
    tlsPort: port,
    /** Ends it at once, whatever it is at, as a power failure would. */
    async crash(): Promise<void> {
      process.kill(Number(readFileSync(pidFile(server.dataDir), 'utf8')), 'SIGKILL')
      await close()
      await server.kill()
    },
    async stop(): Promise<void> {
      await close()
      await server.stop()
    },
  }
}
