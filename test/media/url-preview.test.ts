// Previews of URLs, of pages on this machine: honest ones, careless ones, hostile ones.

import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { federationTransport, type NodeHandler } from '../../scripts/federation-transport.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { loopbackNames } from '../support/federated-server.ts'
import { refusal } from '../support/room-client.ts'
import { type Account, startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'
import { metadata, picture } from './images.ts'

type Page = (response: ServerResponse, request: IncomingMessage) => void

let web: Server
let origin = ''
let server: TestServer
let alice: Account
let red: Uint8Array
const pages = new Map<string, Page>()
let asked: IncomingMessage[] = []

/** What is at page.test may be had although it is on this machine; what it leads to may not. */
function strictAboutOthers(): NodeHandler {
  const open = federationTransport({ allowPrivateNetworks: true, names: loopbackNames })
  const strict = federationTransport({ names: loopbackNames, pagePorts: [Number(new URL(origin).port)] })
  return (request, response) =>
    (new URL(String(request.headers['x-hearth-url'])).hostname === 'page.test' ? open : strict)(
      request,
      response,
    )
}

beforeAll(async () => {
  web = createServer((request, response) => {
    asked.push(request)
    const page = pages.get(request.url ?? '')
    if (page) page(response, request)
    else response.writeHead(404).end()
  })
  await once(web.listen(0, '127.0.0.1'), 'listening')
  origin = `http://page.test:${(web.address() as AddressInfo).port}`
  server = await startServer({ federation: strictAboutOthers(), vars: { MAX_UPLOAD_SIZE: '500000' } })
  alice = await server.register('alice')
  red = await picture('png', 120, 80)
  pages.set('/red.png', content('image/png', red))
})
beforeEach(() => (asked = []))
afterAll(async () => {
  await server.stop()
  web.closeAllConnections()
  web.close()
})

function content(type: string, body: string | Uint8Array, headers: Record<string, string> = {}): Page {
  return (response) => void response.writeHead(200, { 'Content-Type': type, ...headers }).end(body)
}

const html = (body: string, type = 'text/html; charset=utf-8', headers?: Record<string, string>) =>
  content(type, body, headers)

let names = 0
/** Puts up a page and returns its URL. */
function put(page: Page | string): string {
  names += 1
  pages.set(`/page${names}`, typeof page === 'string' ? html(page) : page)
  return `${origin}/page${names}`
}

const endpoint = '/_matrix/client/v1/media/preview_url'

async function ask(url: string, query = '', headers: Record<string, string> = {}) {
  const path = `${endpoint}?url=${encodeURIComponent(url)}${query}`
  return await server.request('GET', path, { token: alice.token, headers })
}

async function preview(page: Page | string, headers: Record<string, string> = {}): Promise<JsonObject> {
  const { status, body } = await ask(put(page), '', headers)
  expect(status).toBe(200)
  return body
}

function download(mxc: string, kind = 'download', query = '', path = mxc.slice('mxc://'.length)) {
  return server.fetch(`/_matrix/client/v1/media/${kind}/${path}${query}`, {
    headers: { Authorization: `Bearer ${alice.token}` },
  })
}

const rock = `<html prefix="og: http://ogp.me/ns#"><head><title>The Rock (1996)</title>
<meta property="og:title" content="The Rock &amp; the &#x201c;Roll&#8221; &eacute; &unheard;" />
<meta property="og:type" content="video.movie" />
<meta property="og:url" content="http://www.imdb.com/title/tt0117500/" />
<meta property="og:description" content="  A
  film. " />
<meta property="og:image" content="red.png" />
<meta property="og:image:width" content="9000" />
<meta property="og:image:alt" content="A red thing" />
<meta property="og:image" content="other.png" />
</head><body></body></html>`

describe('a page with Open Graph properties', () => {
  test.each([endpoint, '/_matrix/media/v3/preview_url'])(
    'is described by %s, its image from here',
    async (path) => {
      const url = put(rock)
      const { status, body } = await server.request('GET', `${path}?url=${encodeURIComponent(url)}`, {
        token: alice.token,
      })
      expect(status).toBe(200)
      expect(body).toEqual({
        'og:title': 'The Rock & the “Roll” é &unheard;',
        'og:type': 'video.movie',
        'og:url': 'http://www.imdb.com/title/tt0117500/',
        'og:description': 'A film.',
        'og:image': expect.stringMatching(/^mxc:\/\/test\.local\/preview-[\w-]{24}$/),
        'og:image:type': 'image/png',
        'og:image:width': 120,
        'og:image:height': 80,
        'og:image:alt': 'A red thing',
        'matrix:image:size': red.byteLength,
      })
      const image = await download(textOf(body, 'og:image'))
      expect(image.headers.get('Content-Type')).toBe('image/png')
      expect(Buffer.from(await image.arrayBuffer()).equals(red)).toBe(true)
      const small = await download(textOf(body, 'og:image'), 'thumbnail', '?width=32&height=32&method=crop')
      expect(await metadata(new Uint8Array(await small.arrayBuffer()))).toMatchObject({
        width: 32,
        height: 32,
      })
      expect(asked.map((request) => request.url)).toEqual([new URL(url).pathname, '/red.png'])
    },
  )

  test('is asked for as a bot that speaks the languages of the client, and tells nothing else of them', async () => {
    await preview('<title>a</title>', {
      'Accept-Language': 'de-CH, fr;q=0.5,*;q=0.1, x y',
      Cookie: 'a=b',
      Referer: 'c',
    })
    const [request] = asked
    expect(request?.headers).toEqual({
      'user-agent': expect.stringMatching(/^Hearth\/[\d.]+ \(bot;/),
      accept: expect.stringContaining('text/html'),
      'accept-language': 'de-CH, fr;q=0.8',
      'accept-encoding': 'identity',
      host: new URL(origin).host,
      connection: 'keep-alive',
    })
  })

  test('is fetched once for all, by language, and costs next to nothing afterwards', async () => {
    const url = put(rock)
    const first = await server.measure(() => ask(url))
    expect(first).toMatchObject({ d1RowsWritten: 2, r2Operations: 1, fetches: 2 })
    const again = await server.measure(() => ask(`${url}#part`))
    expect(again).toMatchObject({ d1RowsWritten: 0, r2Operations: 0, fetches: 0, doRequests: 0 })
    await ask(url, '', { 'Accept-Language': 'de' })
    expect(asked.filter((request) => url.endsWith(request.url ?? ' '))).toHaveLength(2)
  })

  test('is fetched once also by many at a time', async () => {
    const url = put(
      (response) => void setTimeout(() => html('<title>once</title>')(response, response.req), 100),
    )
    const answers = await Promise.all(Array.from({ length: 10 }, () => ask(url)))
    expect(answers.map(({ body }) => body)).toEqual(
      Array.from({ length: 10 }, () => ({ 'og:title': 'once' })),
    )
    expect(asked).toHaveLength(1)
  })

  test.each([
    ['max-age=1', 600_000],
    ['public, max-age=7200', 7_200_000],
    ['no-store, max-age=7200', 600_000],
    ['max-age=99999999', 86_400_000],
    ['', 3_600_000],
  ])(
    'that says %j is asked again after %i ms; its earlier version stays for its time',
    async (control, ms) => {
      const url = put(html('<title>one</title>', 'text/html', { 'Cache-Control': control }))
      await ask(url)
      const db = await server.mf.getD1Database('DB')
      const newest = 'SELECT page, fetched_at, expires_at FROM url_previews ORDER BY fetched_at DESC LIMIT 1'
      const row = await db.prepare(newest).first<{ page: string; fetched_at: number; expires_at: number }>()
      if (!row) throw new Error('nothing was kept')
      expect(row.expires_at - row.fetched_at).toBe(ms)
      const day = 86_400_000
      await db
        .prepare(
          'UPDATE url_previews SET fetched_at = fetched_at - ?1, expires_at = expires_at - ?1 WHERE page = ?2',
        )
        .bind(2 * day, row.page)
        .run()
      pages.set(new URL(url).pathname, html('<title>two</title>'))
      expect((await ask(url)).body).toEqual({ 'og:title': 'two' })
      expect((await ask(url, `&ts=${row.fetched_at - 2 * day + 1}`)).body).toEqual({ 'og:title': 'one' })
      // There is none of that time.
      expect((await ask(url, `&ts=${row.fetched_at - 3 * day}`)).body).toEqual({ 'og:title': 'two' })
      expect(asked).toHaveLength(2)
    },
  )
})

describe('a page without them', () => {
  test('is described by what it has for others', async () => {
    const cards = `<meta name="twitter:title" content="T"><meta name="description" content="D">
      <meta name="twitter:image" content="${origin}/red.png"><meta name="twitter:image:alt" content="alt">`
    expect(await preview(cards)).toMatchObject({
      'og:title': 'T',
      'og:description': 'D',
      'og:image:width': 120,
      'og:image:alt': 'alt',
    })
  })

  test('is described by its title and an image that is large enough, or an icon', async () => {
    const images = `<base href="/a/"><title> </title><title>A
      title</title><img src="../dot.png" width=1 height=1>`
    expect(await preview(`${images}<img src="../red.png" width="300" height="200" alt="red">`)).toMatchObject(
      {
        'og:title': 'A title',
        'og:image:height': 80,
        'og:image:alt': 'red',
      },
    )
    expect(await preview(`${images}<link rel="shortcut icon" href="/red.png">`)).toMatchObject({
      'og:image:height': 80,
    })
    expect(asked.map((request) => request.url)).not.toContain('/dot.png')
  })

  test('that has nothing is described by nothing', async () => {
    expect(await preview('')).toEqual({})
    expect(await preview(content('text/plain', '<title>no</title>'))).toEqual({})
    expect(await preview((response) => void response.end('<title>of no type</title>'))).toEqual({})
  })

  test.each([
    [
      'in the header',
      'text/html; charset=windows-1252',
      Buffer.from('<title>caf\xe9</title>', 'latin1'),
      'café',
    ],
    [
      'in the page',
      'text/html',
      Buffer.from('<meta charset="latin1"><title>caf\xe9</title>', 'latin1'),
      'café',
    ],
    [
      'by http-equiv',
      'text/html',
      Buffer.from(
        '<meta http-equiv=Content-Type content="text/html; charset=shift_jis"><title>\x93\xfa\x96\x7b</title>',
        'latin1',
      ),
      '日本',
    ],
    ['by its first bytes', 'text/html; charset=latin1', Buffer.from('\ufeff<title>é</title>'), 'é'],
    ['wrongly', 'text/html; charset=utf-8', Buffer.from('<title>caf\xe9</title>', 'latin1'), 'caf\ufffd'],
    ['as one that nobody knows', 'text/html; charset=x-klingon', Buffer.from('<title>é</title>'), 'é'],
    ['as UTF-16, which it is not', 'text/html', Buffer.from('<meta charset=utf-16><title>é</title>'), 'é'],
  ])('is read in the encoding that it names %s', async (_, type, bytes, title) => {
    expect(await preview(content(type, bytes))).toEqual({ 'og:title': title })
  })
})

test('an image is its own preview', async () => {
  expect(await preview(content('image/png', red))).toEqual({
    'og:image': expect.stringMatching(/^mxc:/),
    'og:image:type': 'image/png',
    'og:image:width': 120,
    'og:image:height': 80,
    'matrix:image:size': red.byteLength,
  })
})

test('redirects are followed, five of them, and relative URLs start where they end', async () => {
  for (let at = 1; at <= 7; at++) {
    const next = at === 1 ? '/deep/er' : `/hop${at - 1}`
    pages.set(`/hop${at}`, (response) => void response.writeHead(302, { Location: next }).end())
  }
  pages.set('/deep/er', html('<title>there</title><meta property="og:image" content="../red.png">'))
  const to = async (hops: number) => (await ask(`${origin}/hop${hops}`)).body
  expect(await to(5)).toMatchObject({ 'og:title': 'there', 'og:image:width': 120 })
  expect(await to(6)).toEqual({})
})

describe('a hostile page', () => {
  const inside = () => `http://127.0.0.1:${new URL(origin).port}/secret`

  test('leads to no private address, by redirect or image', async () => {
    pages.set('/secret', html('<title>secret</title>'))
    pages.set('/secret.png', content('image/png', red))
    const named = inside().replace('127.0.0.1', 'inner.test')
    for (const target of [inside(), named, inside().replace('http:', 'https:'), 'file:///etc/passwd']) {
      expect(await preview((response) => void response.writeHead(302, { Location: target }).end())).toEqual(
        {},
      )
      const image = `<title>a</title><meta property="og:image" content="${target}.png">`
      expect(await preview(image)).toEqual({ 'og:title': 'a' })
    }
    expect(asked.map((request) => request.url)).not.toContain('/secret')
    expect(asked.map((request) => request.url)).not.toContain('/secret.png')
  })

  test('is read no further than a megabyte', async () => {
    const filler = `<!-- ${'x'.repeat(1023)} -->`
    let sent = 0
    const endless: Page = (response) => {
      response.writeHead(200, { 'Content-Type': 'text/html' }).write('<title>begun</title>')
      const more = () => {
        while (!response.destroyed && response.write(filler)) sent += filler.length
        sent += filler.length
        if (!response.destroyed) response.once('drain', more)
      }
      more()
    }
    expect(await preview(endless)).toEqual({ 'og:title': 'begun' })
    // Socket buffers take some, too.
    expect(sent).toBeLessThan(50_000_000)
    const late = `${filler.repeat(1100)}<title>late</title>`
    expect(await preview(late)).toEqual({})
  })

  test('that drips is given up', { timeout: 30_000 }, async () => {
    const drip: Page = (response) => {
      response.writeHead(200, { 'Content-Type': 'text/html' })
      const timer = setInterval(() => response.write('<title>drip</title>'), 200)
      response.once('close', () => clearInterval(timer))
    }
    const silent: Page = () => undefined
    expect(await Promise.all([preview(drip), preview(silent)])).toEqual([{}, {}])
  })

  test('passes strings of bounded length under the names of Open Graph alone', async () => {
    const many = Array.from({ length: 30_000 }, (_, i) => `<meta property="og:x${i}" content="v">`).join('')
    expect(Object.keys(await preview(many)).length).toBeLessThanOrEqual(31)
    const long = 'w'.repeat(4000)
    const odd = await preview(`
      <meta property="og:title" content="${long}"><meta property="og:description" content="${'😀'.repeat(900)}">
      <meta property="og:url" content="javascript:alert(1)"><meta property="og:video" content="data:text/html,a">
      <meta property="og:__proto__" content="a"><meta property="__proto__" content="a">
      <meta property="matrix:image:size" content="5"><meta property="og:image:width" content="5">
      <meta property="og:image:secure_url" content="data:image/png;base64,AAAA">
      <meta property="og:a b" content="c"><meta property="og:\u0000" content="c"><meta property="OG:Locale" content="de">`)
    expect(Object.keys(odd).sort()).toEqual(['og:__proto__', 'og:description', 'og:locale', 'og:title'])
    expect(textOf(odd, 'og:title')).toHaveLength(500)
    const description = textOf(odd, 'og:description')
    expect(description.length).toBeLessThanOrEqual(1000)
    expect(description.isWellFormed()).toBe(true)
  })

  test('has its script shown as the text that it is', async () => {
    expect(
      await preview('<title><script>alert(1)</script></title><script>document.title = "x"</script>'),
    ).toEqual({
      'og:title': '<script>alert(1)</script>',
    })
  })

  test('that the parser gives up on counts as far as it was read', async () => {
    const ambiguous = '<title>so far</title><select><div><style></select><title>b</title>'
    expect(await preview(ambiguous)).toEqual({ 'og:title': 'so far' })
  })

  test.each([
    'a text',
    'SVG',
    'SVG that claims to be a PNG',
    'a bomb',
    'too large',
    'too large without saying so',
  ])('gets no image in that is %s', async (kind) => {
    const svg = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    // A PNG is believed what its first chunk says.
    const bomb = Buffer.from(red)
    bomb.writeUInt32BE(50_000, 16)
    bomb.writeUInt32BE(50_000, 20)
    const big = Buffer.concat([red, Buffer.alloc(600_000)])
    const images: Record<string, Page> = {
      'a text': content('text/html', red),
      SVG: content('image/svg+xml', svg),
      'SVG that claims to be a PNG': content('image/png', svg),
      'a bomb': content('image/png', bomb),
      'too large': content('image/png', big),
      'too large without saying so': (response) => {
        response.writeHead(200, { 'Content-Type': 'image/png' }).write(red)
        response.end(big)
      },
    }
    const image = put(images[kind] ?? '')
    const bucket = await server.mf.getR2Bucket('MEDIA')
    const before = (await bucket.list()).objects.length
    expect(await preview(`<title>a</title><meta property="og:image" content="${image}">`)).toEqual({
      'og:title': 'a',
    })
    if (kind !== 'a text') expect(await preview(images[kind] ?? '')).toEqual({})
    expect((await bucket.list()).objects).toHaveLength(before)
  })

  test('leaves nothing in the logs', async () => {
    const secret = 'unheard-of-title'
    await preview(`<title>${secret}</title><meta property="og:image" content="http://10.0.0.1/${secret}">`)
    await ask(`http://10.0.0.1/${secret}`)
    expect(server.logs.join('\n')).not.toContain(secret)
  })
})

test('a page that fails is left alone for a while', async () => {
  const url = put(
    (response) => void response.writeHead(500, { 'Content-Type': 'text/html' }).end('<title>x</title>'),
  )
  expect((await ask(url)).body).toEqual({})
  expect((await ask(url)).body).toEqual({})
  expect(asked).toHaveLength(1)
})

test.each([
  ['no URL at all', '', 'M_MISSING_PARAM'],
  ['an empty one', '?url=', 'M_INVALID_PARAM'],
  ['another scheme', '?url=ftp%3A%2F%2Fexample.org', 'M_INVALID_PARAM'],
  ['a relative one', '?url=%2Fa', 'M_INVALID_PARAM'],
  ['a password', '?url=http%3A%2F%2Fa%3Ab%40example.org%2F', 'M_INVALID_PARAM'],
  ['a long one', `?url=http%3A%2F%2Fexample.org%2F${'a'.repeat(5000)}`, 'M_INVALID_PARAM'],
  ['a time that is none', '?url=http%3A%2F%2Fexample.org&ts=soon', 'M_INVALID_PARAM'],
])('%s is refused', async (_, query, errcode) => {
  expect(await server.request('GET', `${endpoint}${query}`, { token: alice.token })).toEqual(
    refusal(400, errcode),
  )
})

test('previews are for users', async () => {
  expect(await server.request('GET', `${endpoint}?url=${origin}`)).toEqual(refusal(401, 'M_MISSING_TOKEN'))
})

test('ports other than those of the web are left alone where private networks are', async () => {
  const looked: string[] = []
  const addresses = (name: string) => {
    looked.push(name)
    return loopbackNames.addresses(name)
  }
  const strict = federationTransport({ names: { ...loopbackNames, addresses } })
  const other = await startServer({ federation: strict })
  const bob = await other.register('bob')
  for (const place of [
    'http://ssh.test:22/',
    'https://alt.test:8443/',
    'http://web.test/',
    'https://tls.test/',
  ]) {
    const path = `${endpoint}?url=${encodeURIComponent(place)}`
    expect((await other.request('GET', path, { token: bob.token })).body).toEqual({})
  }
  expect(looked).toEqual(['web.test', 'tls.test'])
  await other.stop()
})

test('previews of long ago are forgotten when others are made', async () => {
  const other = await startServer()
  const bob = await other.register('bob')
  const db = await other.mf.getD1Database('DB')
  const day = 86_400_000
  for (const days of [29, 31]) {
    await db
      .prepare("INSERT INTO url_previews VALUES (?, ?, ?, '{}')")
      .bind(`${days}`, Date.now() - days * day, Date.now() - days * day + 1)
      .run()
  }
  const path = `${endpoint}?url=${encodeURIComponent('http://page.test/')}`
  await other.measure(() => other.request('GET', path, { token: bob.token }))
  expect((await db.prepare('SELECT page FROM url_previews').all()).results).toEqual([{ page: '29' }])
  await other.stop()
})

test('where they are off the endpoint is unknown', async () => {
  const without = await startServer({ vars: { URL_PREVIEWS: 'off' } })
  const bob = await without.register('bob')
  const answer = await without.request('GET', `${endpoint}?url=${origin}`, { token: bob.token })
  expect(answer).toEqual(refusal(404, 'M_UNRECOGNIZED'))
  await without.stop()
})

test('a user has only so many pages fetched in a minute', async () => {
  const limited = await startServer({ vars: { RATE_LIMITS: 'on' } })
  const bob = await limited.register('bob')
  let status = 200
  let taken = 0
  // The minute that the platform counts in may end on the way, once.
  for (; status === 200 && taken <= 130; taken++) {
    const path = `${endpoint}?url=${encodeURIComponent(`http://page.test/${taken}`)}`
    status = (await limited.request('GET', path, { token: bob.token })).status
  }
  expect(status).toBe(429)
  expect(taken).toBeGreaterThan(60)
  await limited.stop()
})
