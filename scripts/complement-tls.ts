// TLS on 8448 for Complement: hands what it decrypts to the server on 8008.
// Usage: complement-tls.ts KEY CERTIFICATE

import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { pipeline } from 'node:stream'
import { createServer } from 'node:tls'

const [key = '', certificate = ''] = process.argv.slice(2)

createServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (client) => {
  const server = connect(8008, '127.0.0.1')
  // Either side may go at any time; then so does the other.
  const ended = () => {
    client.destroy()
    server.destroy()
  }
  pipeline(client, server, ended)
  pipeline(server, client, ended)
}).listen(8448, '0.0.0.0')
