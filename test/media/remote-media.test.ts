// Media of other servers: two of ours, and one that misbehaves.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { federationTransport, type NodeHandler } from '../../scripts/federation-transport.ts'
import { makeAuthority } from '../support/certificates.ts'
import { beginParts, inParts, sendError, sendParts } from '../support/fake-media.ts'
import { type FakeHomeserver, type Handler, startFakeHomeserver } from '../support/fake-homeserver.ts'
import { type FederatedServer, loopbackNames, startFederatedServer } from '../support/federated-server.ts'
import { refusal } from '../support/room-client.ts'
import { type Account, startServer, type TestServer } from '../support/server.ts'
import { metadata, picture } from './images.ts'

const limit = 1_000_000
const authority = makeAuthority()
const toEach = { extraCa: [authority.ca], allowPrivateNetworks: true, names: loopbackNames }

/** Other servers are on this machine, but what they lead to may not be. */
function strictAboutPlaces(): NodeHandler {
  const toServers = federationTransport(toEach)
  const toPlaces = federationTransport({ ...toEach, allowPrivateNetworks: false })
  return (request, response) =>
    (request.headers['x-hearth-url'] === undefined ? toServers : toPlaces)(request, response)
}

let one: FederatedServer
let two: FederatedServer
let strict: TestServer
let alice: Account
let bob: Account
let eve: Account
let fake: FakeHomeserver
let cdn: FakeHomeserver
beforeAll(async () => {
  ;[one, two, strict, fake, cdn] = await Promise.all([
    startFederatedServer(authority, 'one.test', { vars: { MAX_UPLOAD_SIZE: String(limit) } }),
    startFederatedServer(authority, 'two.test'),
    startServer({ federation: strictAboutPlaces() }),
    startFakeHomeserver(authority, 'fake.test'),
    startFakeHomeserver(authority, 'cdn.test'),
  ])
  ;[alice, bob, eve] = await Promise.all([one.register('alice'), two.register('bob'), strict.register('eve')])
})
beforeEach(() => {
  fake.requests.length = 0
  cdn.requests.length = 0
})
afterAll(async () => {
  await Promise.all([one.stop(), two.stop(), strict.stop(), fake.stop(), cdn.stop()])
})

type Server = Pick<TestServer, 'fetch'>

function get(kind: string, id: string, server: Server = one, who = alice) {
  const init = { headers: { Authorization: `Bearer ${who.token}` } }
  return server.fetch(`/_matrix/client/v1/media/${kind}/${id}`, init)
}
const download = (id: string, server?: Server, who?: Account) => get('download', id, server, who)

async function errorOf(response: Response) {
  return { status: response.status, body: await response.json<Record<string, unknown>>() }
}

/** Uploads to the second server. Returns what stands after mxc://. */
async function upload(content: BodyInit, type: string, query = ''): Promise<string> {
  const response = await two.fetch(`/_matrix/media/v3/upload${query}`, {
    method: 'POST',
    body: content,
    headers: { Authorization: `Bearer ${bob.token}`, 'Content-Type': type },
  })
  const { content_uri: uri }: { content_uri: string } = JSON.parse(await response.text())
  return uri.slice('mxc://'.length)
}

let ids = 0
/** Media of the fake server, answered as told. */
function media(handler: Handler): string {
  ids += 1
  fake.route(`/_matrix/federation/v1/media/download/m${ids}`, handler)
  return `${fake.serverName}/m${ids}`
}

/** Keys and sizes of what a server keeps of others. */
async function kept(server: Pick<TestServer, 'mf'>): Promise<Map<string, number>> {
  const { objects } = await (await server.mf.getR2Bucket('MEDIA')).list({ prefix: 'remote/' })
  return new Map(objects.map(({ key, size }) => [key, size]))
}

describe('a download from another server', () => {
  test('is what was uploaded there, with its type and name', async () => {
    const content = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7) % 256))
    const id = await upload(content, 'img/png', '?filename=%F0%9F%90%94.png')
    const response = await download(id)
    expect(response.status).toBe(200)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'img/png',
      'content-disposition': "attachment; filename*=utf-8''%F0%9F%90%94.png",
      'content-length': String(content.byteLength),
      'content-security-policy': expect.stringContaining('sandbox'),
      'x-content-type-options': 'nosniff',
    })
    expect(Buffer.from(await response.arrayBuffer()).equals(content)).toBe(true)
  })

  test('is asked for once', async () => {
    const id = await upload('hello', 'text/plain', '?filename=a%20b.txt')
    const first = await one.measure(async () => expect(await (await download(id)).text()).toBe('hello'))
    expect(first.fetches).toBe(1)
    const second = await one.measure(async () => {
      const response = await download(id)
      expect(response.headers.get('Content-Disposition')).toBe('inline; filename="a b.txt"')
      expect(await response.text()).toBe('hello')
    })
    expect(second).toMatchObject({ fetches: 0, d1RowsWritten: 0, r2Operations: 1 })
    const part = await one.fetch(`/_matrix/client/v1/media/download/${id}`, {
      headers: { Authorization: `Bearer ${alice.token}`, Range: 'bytes=1-2' },
    })
    expect([part.status, await part.text()]).toEqual([206, 'el'])
  })

  test('is asked for once also by many at a time', async () => {
    const id = media((_, response) => {
      setTimeout(() => sendParts(response, 'once', { 'Content-Type': 'text/plain' }), 100)
    })
    const answers = await Promise.all(
      Array.from({ length: 10 }, async () => await (await download(id)).text()),
    )
    expect(new Set(answers)).toEqual(new Set(['once']))
    expect(fake.requests).toHaveLength(1)
    expect(fake.requests[0]).toMatch(
      /^GET \/_matrix\/federation\/v1\/media\/download\/m\d+\?timeout_ms=20000$/,
    )
  })

  test.each(['text/html', 'image/svg+xml', undefined])('is not shown inline as %s', async (type) => {
    const headers = {
      'Content-Disposition': 'inline; filename="a.html"',
      ...(type && { 'Content-Type': type }),
    }
    const response = await download(media((_, answer) => sendParts(answer, '<script>', headers)))
    expect(response.headers.get('Content-Disposition')).toBe('attachment; filename="a.html"')
    expect(response.headers.get('Content-Type')).toBe(type ?? 'application/octet-stream')
  })

  test('of nothing is not found, which is asked once, and of what is not uploaded yet neither', async () => {
    const id = media((_, response) => sendError(response, 404, 'M_NOT_FOUND'))
    for (let i = 0; i < 2; i += 1)
      expect(await errorOf(await download(id))).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(fake.requests).toHaveLength(1)

    const path = '/_matrix/media/v1/create'
    const { body } = await two.request<{ content_uri: string }>('POST', path, { token: bob.token })
    const created = body.content_uri.slice('mxc://'.length)
    expect(await errorOf(await download(`${created}?timeout_ms=0`))).toEqual(
      refusal(504, 'M_NOT_YET_UPLOADED'),
    )
    const waiting = download(`${created}?timeout_ms=20000`)
    await two.fetch(`/_matrix/media/v3/upload/${created}`, {
      method: 'PUT',
      body: 'late',
      headers: { Authorization: `Bearer ${bob.token}`, 'Content-Type': 'text/plain' },
    })
    expect(await (await waiting).text()).toBe('late')
  })

  test.each([
    'not a server/abc',
    'fake.test/a.b',
    'fake.test/..%2F..%2Fsecret',
    '%2F/abc',
    'fake.test:port/abc',
  ])('by the id %s is not even tried', async (id) => {
    const counts = await one.measure(async () => {
      expect(await errorOf(await download(id))).toEqual(refusal(404, 'M_NOT_FOUND'))
    })
    expect(counts.fetches).toBe(0)
  })

  test('from a server that is down says so, and leaves it in peace for a moment', async () => {
    const down = await startFakeHomeserver(authority, 'down.test')
    await down.stop()
    expect(await errorOf(await download(`${down.serverName}/a`))).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
    const again = await one.measure(async () => {
      expect(await errorOf(await download(`${down.serverName}/b`))).toEqual(
        refusal(502, 'M_CONNECTION_FAILED'),
      )
    })
    expect(again.fetches).toBe(0)
  })

  test('comes again when its content has gone', async () => {
    const id = media((_, response) => sendParts(response, 'again', { 'Content-Type': 'text/plain' }))
    const before = await kept(one)
    await (await download(id)).text()
    const added = [...(await kept(one)).keys()].filter((key) => !before.has(key))
    await (await one.mf.getR2Bucket('MEDIA')).delete(added)
    expect(await (await download(id)).text()).toBe('again')
    expect(fake.requests).toHaveLength(2)
  })

  test('of more than fits into memory at once is whole, or not there', async () => {
    const content = Buffer.from(Array.from({ length: 20_000_000 }, (_, i) => i % 253))
    const whole = media((_, response) => beginParts(response).end(inParts(content)))
    const response = await download(whole, strict, eve)
    expect(Buffer.from(await response.arrayBuffer()).equals(content)).toBe(true)

    const before = await kept(strict)
    const broken = media((_, answer) => beginParts(answer).end(inParts(content).subarray(0, -19)))
    expect(await errorOf(await download(broken, strict, eve))).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
    expect(await kept(strict)).toEqual(before)
  })

  test('is noted as used once a day', async () => {
    const id = media((_, response) => sendParts(response, 'x'))
    await (await download(id)).text()
    const db = await one.mf.getD1Database('DB')
    const mediaId = id.split('/')[1]
    await db
      .prepare('UPDATE remote_media SET used_at = used_at - 90000000 WHERE media_id = ?')
      .bind(mediaId)
      .run()
    const rows = async () => (await one.measure(async () => await (await download(id)).text())).d1RowsWritten
    expect([await rows(), await rows()]).toEqual([1, 0])
  })
})

describe('the deprecated endpoints', () => {
  test('of a server that has no others are asked, without authentication', async () => {
    const { serverName } = fake
    fake.route('/_matrix/federation/v1/media/download/old', (_, response) =>
      sendError(response, 404, 'M_UNRECOGNIZED'),
    )
    fake.route(`/_matrix/media/v3/download/${encodeURIComponent(serverName)}/old`, (request, response) => {
      const isSigned = request.headers.authorization !== undefined
      response.writeHead(200, {
        'Content-Type': 'text/plain',
        'Content-Disposition': 'inline; filename=old.txt',
      })
      response.end(isSigned ? 'signed' : 'open')
    })
    const response = await download(`${serverName}/old`)
    expect(response.headers.get('Content-Disposition')).toBe('inline; filename="old.txt"')
    expect(await response.text()).toBe('open')
    expect(fake.requests.at(-1)).toContain('?allow_remote=false&')
  })

  test('are not asked by default, nor by others in a circle', async () => {
    const id = await upload('secret', 'text/plain')
    const closed = await one.measure(async () => {
      const response = await one.fetch(`/_matrix/media/v3/download/${id}`)
      expect(await errorOf(response)).toEqual(refusal(404, 'M_NOT_FOUND'))
    })
    expect(closed.fetches).toBe(0)

    const open = await startServer({
      vars: { UNAUTHENTICATED_MEDIA: 'on' },
      federation: federationTransport(toEach),
    })
    const byOthers = media((_, response) => sendParts(response, 'public', { 'Content-Type': 'text/plain' }))
    const path = `/_matrix/media/v3/download/${byOthers}`
    expect(await errorOf(await open.fetch(`${path}?allow_remote=false`))).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(fake.requests).toEqual([])
    expect(await (await open.fetch(path.replace('v3', 'r0'))).text()).toBe('public')
    await open.stop()
  })
})

describe('a server that sends', () => {
  const drip = Buffer.alloc(64 * 1024, 1)
  const failures: [string, Handler, ReturnType<typeof refusal>?][] = [
    [
      'more than is allowed',
      (_, response) => sendParts(response, Buffer.alloc(limit + 200_000)),
      refusal(502, 'M_TOO_LARGE'),
    ],
    [
      'more than is allowed without saying so',
      (_, response) => beginParts(response).end(inParts(Buffer.alloc(limit + 1))),
      refusal(502, 'M_TOO_LARGE'),
    ],
    [
      'without end',
      (_, response) => {
        beginParts(response).write(inParts('').subarray(0, -18))
        const more = () => {
          while (!response.destroyed && response.write(drip));
        }
        response.on('drain', more)
        more()
      },
      refusal(502, 'M_TOO_LARGE'),
    ],
    [
      'something else than parts',
      (_, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<p>'),
      refusal(502, 'M_UNKNOWN'),
    ],
    [
      'no second part',
      (_, response) => beginParts(response).end('--a-boundary\r\n\r\n{}\r\n--a-boundary--\r\n'),
    ],
    ['no part at all', (_, response) => beginParts(response).end('hello')],
    ['headers without end', (_, response) => beginParts(response).end(Buffer.alloc(200_000, 'a'))],
    ['parts that break off', (_, response) => beginParts(response).end(inParts('hello').subarray(0, -19))],
    [
      'half of it and hangs up',
      (_, response) => {
        beginParts(response, { 'Content-Length': '500000' }).write(
          inParts(Buffer.alloc(1000)).subarray(0, -30),
        )
        setTimeout(() => response.destroy(), 50)
      },
    ],
    ['nothing and hangs up', (_, response) => response.destroy()],
    [
      'a place without https',
      (_, response) => sendParts(response, '', { Location: `http://cdn.test:${cdn.port}/x` }),
    ],
    [
      'a place with a password',
      (_, response) => sendParts(response, '', { Location: 'https://a:b@cdn.test/x' }),
    ],
    ['a place that is none', (_, response) => sendParts(response, '', { Location: 'file:///etc/passwd' })],
    [
      'that it is too large',
      (_, response) => sendError(response, 502, 'M_TOO_LARGE'),
      refusal(502, 'M_TOO_LARGE'),
    ],
    ['that it is broken', (_, response) => sendError(response, 500, 'M_UNKNOWN'), refusal(502, 'M_UNKNOWN')],
    [
      'that we are nobody',
      (_, response) => sendError(response, 401, 'M_UNAUTHORIZED'),
      refusal(502, 'M_UNKNOWN'),
    ],
  ]

  test.each(failures)(
    '%s is told of, and nothing of it is kept',
    async (_, handler, expected = refusal(502, 'M_CONNECTION_FAILED')) => {
      // A name of its own: some are not asked again for a while.
      const server = await startFakeHomeserver(authority, 'wrong.test')
      const hungUp = new Promise((closed) => {
        server.route('/_matrix/federation/v1/media/download/m', (request, response, body) => {
          response.once('close', closed)
          handler(request, response, body)
        })
      })
      const before = await kept(one)
      expect(await errorOf(await download(`${server.serverName}/m`))).toEqual(expected)
      await hungUp
      expect(await kept(one)).toEqual(before)
      const db = await one.mf.getD1Database('DB')
      const rows = await db
        .prepare('SELECT media_id FROM remote_media WHERE server_name = ? AND object IS NOT NULL')
        .bind(server.serverName)
        .all()
      expect(rows.results).toEqual([])
      await server.stop()
    },
  )

  test('less than it announced is believed nothing of', async () => {
    fake.route(`/_matrix/media/v3/download/${encodeURIComponent(fake.serverName)}/short`, (_, response) => {
      response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': '1000' }).write('short')
      setTimeout(() => response.destroy(), 50)
    })
    const before = await kept(one)
    expect(await errorOf(await download(`${fake.serverName}/short`))).toEqual(
      refusal(502, 'M_CONNECTION_FAILED'),
    )
    expect(await kept(one)).toEqual(before)
  })

  test('the content from elsewhere is followed there, without a signature', async () => {
    let headers: object = {}
    cdn.route('/stored', (request, response) => {
      headers = request.headers
      response.writeHead(307, { Location: '/moved' }).end()
    })
    cdn.route('/moved', (_, response) => {
      response.writeHead(200, {
        'Content-Type': 'text/plain',
        'Content-Disposition': 'attachment; filename=c.txt',
      })
      response.end('from elsewhere')
    })
    const id = media((_, response) =>
      sendParts(response, '', { Location: `https://${cdn.serverName}/stored` }),
    )
    const response = await download(id)
    expect(response.headers.get('Content-Disposition')).toBe('inline; filename="c.txt"')
    expect(await response.text()).toBe('from elsewhere')
    expect(headers).not.toHaveProperty('authorization')
  })

  test('us into private networks does not get there', async () => {
    cdn.route('/secret', (_, response) => response.writeHead(200).end('secret'))
    for (const place of [`https://${cdn.serverName}/secret`, `https://127.0.0.1:${cdn.port}/secret`]) {
      const id = media((_, response) => sendParts(response, '', { Location: place }))
      expect(await errorOf(await download(id, strict, eve))).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
    }
    expect(cdn.requests).toEqual([])
  })
})

describe('a thumbnail of media of another server', () => {
  test('is made here', async () => {
    const id = await upload(new Uint8Array(await picture('png', 400, 200)), 'image/png')
    await (await download(id)).arrayBuffer()
    const counts = await one.measure(async () => {
      const response = await get('thumbnail', `${id}?width=90&height=90`)
      expect(await metadata(new Uint8Array(await response.arrayBuffer()))).toMatchObject({
        width: 192,
        height: 96,
      })
    })
    expect(counts.fetches).toBe(0)
  })

  test('is asked for there when the original is too large, once', async () => {
    const image = await picture('png', 400, 200)
    fake.route('/_matrix/federation/v1/media/thumbnail/huge', (_, response) =>
      sendParts(response, image, { 'Content-Type': 'text/html' }),
    )
    fake.route('/_matrix/federation/v1/media/download/huge', (_, response) =>
      sendParts(response, Buffer.alloc(2 * limit)),
    )
    const sizes = ['width=90&height=90', 'width=80&height=80']
    for (const size of sizes) {
      const response = await get('thumbnail', `${fake.serverName}/huge?${size}`)
      expect(response.headers.get('Content-Type')).toBe('image/png')
      expect(await metadata(new Uint8Array(await response.arrayBuffer()))).toMatchObject({
        width: 192,
        height: 96,
      })
    }
    expect(fake.requests.map((request) => request.replace(/\?.*method/, '?method'))).toEqual([
      expect.stringContaining('/media/download/huge'),
      expect.stringMatching(/thumbnail\/huge\?method=scale&width=96&height=96&animated=false&timeout_ms=/),
    ])
  })

  test('is refused for what is no image, or too large there too', async () => {
    const text = media((_, response) => sendParts(response, 'hello', { 'Content-Type': 'image/png' }))
    const size = 'width=32&height=32'
    expect(await errorOf(await get('thumbnail', `${text}?${size}`))).toEqual(refusal(400, 'M_UNKNOWN'))
    const huge = media((_, response) => sendParts(response, Buffer.alloc(2 * limit)))
    fake.route(`/_matrix/federation/v1/media/thumbnail/${huge.split('/')[1]}`, (_, response) =>
      sendError(response, 413, 'M_TOO_LARGE'),
    )
    expect(await errorOf(await get('thumbnail', `${huge}?${size}`))).toEqual(refusal(502, 'M_TOO_LARGE'))
  })
})

describe('what is kept of other servers', () => {
  test('stays within its bounds, and what has gone comes again', async () => {
    const small = await startServer({
      vars: { REMOTE_MEDIA_CACHE_SIZE: '300000' },
      federation: federationTransport(toEach),
    })
    const carol = await small.register('carol')
    const known = Array.from({ length: 10 }, (_, i) =>
      media((__, response) => sendParts(response, Buffer.alloc(50_000, i))),
    )
    const sizes: number[] = []
    for (const id of known) {
      await small.measure(async () => await (await download(id, small, carol)).arrayBuffer())
      sizes.push([...(await kept(small)).values()].reduce((sum, size) => sum + size, 0))
    }
    expect(Math.max(...sizes)).toBe(300_000)
    fake.requests.length = 0
    expect(Buffer.from(await (await download(known[0] ?? '', small, carol)).arrayBuffer())).toHaveLength(
      50_000,
    )
    await (await download(known[9] ?? '', small, carol)).arrayBuffer()
    expect(fake.requests).toHaveLength(1)
    await small.stop()
  })

  test('is nothing that a crash has cut off', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'hearth-test-'))
    const start = () => startServer({ dataDir, federation: federationTransport(toEach) })
    const first = await start()
    const carol = await first.register('carol')
    let isWhole = false
    const id = media((_, response) => {
      if (isWhole) sendParts(response, 'whole')
      else beginParts(response).write(inParts('half').subarray(0, -20))
    })
    const cut = download(id, first, carol).catch(() => undefined)
    while (fake.requests.length === 0) await new Promise((later) => setTimeout(later, 20))
    await first.kill()
    await cut
    isWhole = true
    const second = await start()
    expect(await kept(second)).toEqual(new Map())
    expect(await (await download(id, second, carol)).text()).toBe('whole')
    await second.stop()
    await rm(dataDir, { recursive: true })
  })
})
