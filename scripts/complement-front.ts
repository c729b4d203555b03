// A reverse proxy before the server, for Complement. workerd closes connections that were idle for five seconds; the suite
// waits just as long in many tests and then sends a POST over one of them, which its HTTP client does not repeat. Behind a
// proxy, as servers usually are, connections live longer.
// Usage: node scripts/complement-front.ts PORT SERVER_PORT

import { createServer, request } from 'node:http'

const [port, serverPort] = process.argv.slice(2).map(Number)
if (!port || !serverPort) throw new Error('usage: complement-front.ts PORT SERVER_PORT')

const front = createServer((incoming, answer) => {
  const { method, url: path, headers } = incoming
  // A connection for each request: none is kept that the server might close.
  const onward = request(
    { host: '127.0.0.1', port: serverPort, method, path, headers, agent: false },
    (reply) => {
      const { connection: _, 'keep-alive': __, ...others } = reply.headers
      answer.writeHead(reply.statusCode ?? 502, others)
      reply.pipe(answer)
    },
  )
  onward.on('error', () => (answer.headersSent ? answer.destroy() : answer.writeHead(502).end()))
  answer.on('close', () => onward.destroy())
  incoming.pipe(onward)
})
front.keepAliveTimeout = 10 * 60_000
front.listen(port, '0.0.0.0')
