// The launcher's requests to other servers: which way they take, and whom they refuse to reach.

import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { federationTransport, type NameService, noFederation } from '../../scripts/federation-transport.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FakeHomeserver, startFakeHomeserver } from '../support/fake-homeserver.ts'

const authority = makeAuthority()
const fakes: FakeHomeserver[] = []
const servers: Server[] = []
/** Serves as `delegated.test`. */
let target: FakeHomeserver
/** Serves /.well-known of `a.test`. */
let web: FakeHomeserver
beforeAll(async () => {
  target = await startFakeHomeserver(authority, 'delegated.test')
  web = await startFakeHomeserver(authority, 'a.test')
  fakes.push(target, web)
  target.route('/_matrix/echo', (request, response, body) => {
    response.setHeader('Content-Type', 'text/x-echo').setHeader('Set-Cookie', 'a=b')
    response.writeHead(201).end(JSON.stringify({ method: request.method, headers: request.headers, body }))
  })
})
beforeEach(() => {
  for (const { requests } of fakes) requests.length = 0
})
afterAll(async () => {
  for (const server of servers) server.close()
  await Promise.all(fakes.map((fake) => fake.stop()))
})

const loopback = [{ address: '127.0.0.1', family: 4 }]
const noRecords = () => Promise.reject(new Error('no records'))

/** A transport to try, behind a plain HTTP server as Miniflare has it. */
async function transport(
  names: Partial<NameService> = {},
  options: { allowPrivateNetworks?: boolean; handler?: typeof noFederation } = {},
) {
  const { allowPrivateNetworks = true } = options
  const handler =
    options.handler ??
    federationTransport({
      extraCa: [authority.ca],
      allowPrivateNetworks,
      names: { addresses: () => Promise.resolve(loopback), srv: noRecords, ...names },
      wellKnownPort: web.port,
    })
  const server = createServer((request, response) => void handler(request, response)).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return async (
    destination: string,
    { uri = '/_matrix/echo', method = 'GET', body = '', url = '', as = '' } = {},
  ) => {
    const target =
      url === ''
        ? { 'X-Hearth-Destination': destination, 'X-Hearth-Method': method, 'X-Hearth-Uri': uri }
        : { 'X-Hearth-Url': url, 'X-Hearth-Method': method, ...(as && { 'X-Hearth-Authorization': as }) }
    const headers = { ...target, Authorization: 'X-Matrix a=b', Cookie: 'secret' }
    const request = httpRequest({ port, host: '127.0.0.1', method: 'POST', headers }).end(body)
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    const text = Buffer.concat(await response.toArray()).toString()
    return { headers: response.headers, status: response.headers['x-hearth-status'], text }
  }
}

test('a request arrives as it was sent, and so does the answer', async () => {
  const send = await transport()
  const { status, headers, text } = await send(target.serverName, { method: 'PUT', body: '{"a":1}' })
  expect([status, headers['content-type'], headers['set-cookie']]).toEqual(['201', 'text/x-echo', undefined])
  const echo = JSON.parse(text)
  expect(echo).toMatchObject({ method: 'PUT', body: '{"a":1}' })
  expect(echo.headers).toMatchObject({ host: target.serverName, authorization: 'X-Matrix a=b' })
  expect(Object.keys(echo.headers).filter((name) => /^x-hearth|cookie/.test(name))).toEqual([])
})

describe('a connection that the other server closes when it is used again', () => {
  let seen: unknown[]
  beforeEach(() => {
    seen = []
    const used = new WeakSet()
    target.route('/_matrix/closing', (request, response) => {
      seen.push(request.method)
      if (used.has(request.socket)) request.socket.destroy()
      used.add(request.socket)
      response.end('{}')
    })
  })

  test('is replaced by a new one', async () => {
    const send = await transport()
    const request = { uri: '/_matrix/closing', method: 'PUT', body: '{}' }
    for (let i = 0; i < 2; i += 1) expect((await send(target.serverName, request)).status).toBe('200')
    expect(seen).toEqual(['PUT', 'PUT', 'PUT'])
  })

  test('fails what must not be done twice', async () => {
    const send = await transport()
    const request = { uri: '/_matrix/closing', method: 'POST', body: '{}' }
    expect((await send(target.serverName, request)).status).toBe('200')
    expect((await send(target.serverName, request)).status).toBeUndefined()
    expect(seen).toEqual(['POST', 'POST'])
  })
})

describe('the way', () => {
  test('leads through the well-known document, asked for once', async () => {
    web.answer('/.well-known/matrix/server', () => ({ 'm.server': target.serverName }))
    const send = await transport()
    const answers = await Promise.all([send('a.test'), send('a.test'), send('a.test')])
    for (const { text } of answers) expect(JSON.parse(text).headers.host).toBe(target.serverName)
    expect(web.requests).toEqual(['GET /.well-known/matrix/server'])
  })

  test('leads to whom SRV records name, for the name they are found under', async () => {
    web.answer('/.well-known/matrix/server', () => ({ 'm.server': 'delegated.test' }))
    const looked: string[] = []
    const send = await transport({
      addresses: (hostname) => {
        looked.push(hostname)
        return Promise.resolve(loopback)
      },
      srv: (name) =>
        name === '_matrix-fed._tcp.delegated.test'
          ? Promise.resolve([
              { name: 'down.test', port: 1, priority: 1, weight: 0 },
              { name: 'up.test', port: target.port, priority: 2, weight: 0 },
            ])
          : noRecords(),
    })
    const { text } = await send('a.test')
    expect(JSON.parse(text).headers.host).toBe('delegated.test')
    expect(looked).toEqual(['a.test', 'down.test', 'up.test'])
  })

  test('ends where the certificate is of the SRV record alone', async () => {
    web.answer('/.well-known/matrix/server', () => ({}), 404)
    const send = await transport({
      srv: () => Promise.resolve([{ name: 'delegated.test', port: target.port, priority: 1, weight: 0 }]),
    })
    const { status, text } = await send('a.test')
    expect([status, text]).toEqual([undefined, expect.stringMatching(/altnames/i)])
    expect(target.requests).toEqual([])
  })
})

describe('addresses that are not public are out of reach', () => {
  test.each([
    ['as IP literals', () => `127.0.0.1:${target.port}`],
    ['as IPv6 literals', () => `[::1]:${target.port}`],
    ['behind names', () => target.serverName],
    ['behind names without a port', () => 'a.test'],
    ['as the loopback name', () => `localhost:${target.port}`],
  ])('%s', async (_, destination) => {
    const send = await transport({}, { allowPrivateNetworks: false })
    const { status, text } = await send(destination())
    expect([status, text]).toEqual([undefined, expect.stringMatching(/no public address/)])
    expect([target.requests, web.requests]).toEqual([[], []])
  })

  test('also when a name has several of them', async () => {
    const asked: string[] = []
    const send = await transport(
      {
        addresses: (hostname) => {
          asked.push(hostname)
          return Promise.resolve([...loopback, { address: '::1', family: 6 }])
        },
      },
      { allowPrivateNetworks: false },
    )
    expect((await send(target.serverName)).status).toBeUndefined()
    expect(asked).toEqual(['delegated.test'])
  })
})

describe('the transport serves federation alone', () => {
  test.each([
    ['another path', { uri: '/admin' }],
    ['a path that only begins alike', { uri: 'http://a.test/_matrix/' }],
  ])('%s is refused', async (_, request) => {
    const send = await transport()
    const { status, text } = await send(target.serverName, request)
    expect([status, text]).toEqual([undefined, 'not a federation request'])
    expect(target.requests).toEqual([])
  })

  test('what is no server name is refused', async () => {
    const send = await transport()
    expect((await send('delegated.test/x')).text).toBe('not a federation request')
  })
})

describe('what lies elsewhere on the web', () => {
  const to = (url: string) => ({ url })

  test('is fetched, and is told nothing of us', async () => {
    const send = await transport()
    const { status, text } = await send('', to(`https://delegated.test:${target.port}/_matrix/echo?a=b`))
    expect(status).toBe('201')
    const { method, headers } = JSON.parse(text)
    expect([method, headers.host]).toEqual(['GET', target.serverName])
    expect(Object.keys(headers).filter((name) => /hearth|cookie|authorization/.test(name))).toEqual([])
  })

  test.each(['GET', 'POST'])('is told by %s who asks where that is meant for it', async (method) => {
    const send = await transport()
    const url = `https://delegated.test:${target.port}/_matrix/echo`
    const { text } = await send('', { url, method, as: 'Bearer token' })
    expect(JSON.parse(text)).toMatchObject({ method, headers: { authorization: 'Bearer token' } })
  })

  test.each([
    ['on private addresses', () => `https://127.0.0.1:${target.port}/`],
    ['on such as one number', () => `https://2130706433:${target.port}/`],
    ['on such in IPv6', () => `https://[::1]:${target.port}/`],
    ['behind names of such', () => `https://delegated.test:${target.port}/`],
  ])('is out of reach %s', async (_, url) => {
    const send = await transport({}, { allowPrivateNetworks: false })
    const { status, text } = await send('', to(url()))
    expect([status, text]).toEqual([undefined, expect.stringMatching(/no public address/)])
    expect(target.requests).toEqual([])
  })

  test('is nothing without https', async () => {
    const send = await transport()
    for (const url of [`http://delegated.test:${target.port}/`, 'file:///etc/passwd', 'nowhere']) {
      expect((await send('', to(url))).status).toBeUndefined()
    }
    expect(target.requests).toEqual([])
  })
})

test('servers without federation reach nobody', async () => {
  const send = await transport({}, { handler: noFederation })
  const { status, text } = await send(target.serverName)
  expect([status, text]).toEqual([undefined, 'this server is not connected to others'])
})
