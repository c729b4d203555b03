// Our server as its users start it, reachable for others over TLS, that can be killed and started again on the same data.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Authority } from '../../support/certificates.ts'
import { killLaunched, launch, type Launched } from '../../support/launcher.ts'
import { httpClient } from '../../support/server.ts'
import { quietPort } from './quiet-port.ts'

/** Starts one on 127.0.0.1, whose server name is localhost with a port. */
export async function startHearth(authority: Authority, folder: string, ca: string) {
  const [port, tlsPort] = [await quietPort(), await quietPort()]
  const file = (name: string) => join(folder, name)
  const { key, cert } = authority.issue('localhost')
  mkdirSync(folder, { recursive: true })
  writeFileSync(file('tls-key.pem'), key)
  writeFileSync(file('tls-cert.pem'), cert)
  const serverName = `localhost:${tlsPort}`
  const options = {
    'server-name': serverName,
    host: '127.0.0.1',
    port: String(port),
    'tls-port': String(tlsPort),
    'tls-key': file('tls-key.pem'),
    'tls-cert': file('tls-cert.pem'),
    'extra-ca': ca,
    'allow-private-networks': 'on',
    'key-notaries': '',
    data: file('data'),
    registration: 'open',
    'rate-limits': 'off',
  }
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
  const logs: string[] = []
  let launched: Launched | undefined = await launch(args)
  const { url } = launched
  const gone = () => {
    logs.push(launched?.output() ?? '')
    launched = undefined
  }
  return {
    ...httpClient(url),
    serverName,
    url,
    /** Kills the whole process group at once, without time to tidy up, as a power failure would. */
    async kill() {
      await launched?.end('SIGKILL', 'group')
      gone()
    },
    /** Starts it again on the same data. */
    async restart() {
      launched = await launch(args)
    },
    remove() {
      killLaunched()
      gone()
      writeFileSync(file('hearth.log'), logs.join('\n'))
    },
  }
}
