// What operators have in front of their server: TLS, and another address.

import { once } from 'node:events'
import { request } from 'node:http'
import { createServer } from 'node:https'
import { makeAuthority } from '../support/certificates.ts'
import { freePort } from '../support/launcher.ts'
import type { TestServer } from '../support/server.ts'

/** Listens on 127.0.0.1 and passes on what comes to `server`, which may start later: it has to know the address. */
export async function startTlsProxy() {
  let target = ''
  const proxy = createServer(makeAuthority().issue('127.0.0.1'), (incoming, outgoing) => {
    const { method, headers, url = '/' } = incoming
    const passedOn = request(`${target}${url}`, { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
    })
    incoming.pipe(passedOn)
  })
  const port = await freePort()
  await once(proxy.listen(port, '127.0.0.1'), 'listening')
  return {
    url: `https://127.0.0.1:${port}`,
    passTo: (server: Pick<TestServer, 'url'>) => {
      target = server.url
    },
    stop: () => {
      proxy.closeAllConnections()
      proxy.close()
    },
  }
}
