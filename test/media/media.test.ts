import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startServer, type Account, type TestServer } from '../support/server.ts'
import { animation, metadata, picture, pixel, turnedJpeg } from './images.ts'

const limit = 20_000_000

let server: TestServer
let alice: Account
let bob: Account
beforeAll(async () => {
  server = await startServer({ vars: { MAX_UPLOAD_SIZE: String(limit), MAX_THUMBNAIL_PIXELS: '1000000' } })
  alice = await server.register('alice')
  bob = await server.register('bob')
})
afterAll(async () => {
  await server.stop()
})

function send(
  method: string,
  path: string,
  body: BodyInit | null,
  headers: Record<string, string> = {},
  who = alice,
) {
  const init = { method, body, duplex: 'half', headers: { Authorization: `Bearer ${who.token}`, ...headers } }
  return server.fetch(path, init)
}

/** Uploads something and returns what stands after mxc://. */
async function upload(body: BodyInit, type = 'application/octet-stream', query = ''): Promise<string> {
  const response = await send('POST', `/_matrix/media/v3/upload${query}`, body, { 'Content-Type': type })
  const { content_uri: uri }: { content_uri: string } = JSON.parse(await response.text())
  expect(uri).toMatch(/^mxc:\/\/test\.local\/[A-Za-z0-9_-]+$/)
  return uri.slice('mxc://'.length)
}

async function create(who = alice): Promise<string> {
  const { body } = await server.request<{ content_uri: string; unused_expires_at: number }>(
    'POST',
    '/_matrix/media/v1/create',
    { token: who.token },
  )
  expect(body.unused_expires_at).toBeGreaterThan(Date.now())
  return body.content_uri.slice('mxc://'.length)
}

function download(id: string, headers: Record<string, string> = {}, query = '') {
  return send('GET', `/_matrix/client/v1/media/download/${id}${query}`, null, headers)
}

async function thumbnail(id: string, query: string) {
  const response = await send('GET', `/_matrix/client/v1/media/thumbnail/${id}?${query}`, null)
  return { response, bytes: new Uint8Array(await response.arrayBuffer()) }
}

async function expectError(response: Response, status: number, errcode: string) {
  expect({ status: response.status, body: await response.json() }).toEqual({
    status,
    body: expect.objectContaining({ errcode, error: expect.any(String) }),
  })
}

describe('uploads', () => {
  test('what was uploaded comes back as it was, with the headers that keep it harmless', async () => {
    const id = await upload('hello', 'Text/Plain; charset=utf-8', '?filename=h%C3%A9llo.txt')
    const response = await download(id)
    expect(response.status).toBe(200)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'Text/Plain; charset=utf-8',
      'content-disposition': "inline; filename*=utf-8''h%C3%A9llo.txt",
      'content-length': '5',
      'content-security-policy': expect.stringContaining('sandbox'),
      'cross-origin-resource-policy': 'cross-origin',
      'x-content-type-options': 'nosniff',
      'accept-ranges': 'bytes',
      'cache-control': 'private, max-age=31536000, immutable',
    })
    expect(await response.text()).toBe('hello')
  })

  test.each(['text/html', 'image/svg+xml', 'application/xhtml+xml', ''])(
    '%j is not shown inline',
    async (type) => {
      const response = await download(await upload('<script>alert(1)</script>', type))
      expect(response.headers.get('Content-Disposition')).toBe('attachment')
    },
  )

  test('the path can name the file differently', async () => {
    const response = await download(await upload('x', 'image/png', '?filename=a.png'), {}, '/b%20c.png')
    expect(response.headers.get('Content-Disposition')).toBe('inline; filename="b c.png"')
  })

  test('an empty file is a file', async () => {
    const response = await download(await upload(''))
    expect({ status: response.status, text: await response.text() }).toEqual({ status: 200, text: '' })
  })

  test('a body without a length is stored in parts', async () => {
    const chunk = new Uint8Array(1_000_003).map((_, i) => i % 251)
    let rest = 19
    const body = new ReadableStream({
      pull: (controller) => (rest-- > 0 ? controller.enqueue(chunk) : controller.close()),
    })
    const response = await download(await upload(body))
    const stored = Buffer.from(await response.arrayBuffer())
    expect(stored.byteLength).toBe(19 * chunk.byteLength)
    for (let i = 0; i < 19; i += 1) {
      expect(stored.subarray(i * chunk.byteLength, (i + 1) * chunk.byteLength).equals(chunk)).toBe(true)
    }
  })

  test('too much is refused, with and without a length', async () => {
    const path = '/_matrix/media/v3/upload'
    await expectError(await send('POST', path, new Uint8Array(limit + 1)), 413, 'M_TOO_LARGE')
    let rest = 21
    const body = new ReadableStream({
      pull: (controller) => (rest-- > 0 ? controller.enqueue(new Uint8Array(1_000_000)) : controller.close()),
    })
    await expectError(await send('POST', path, body), 413, 'M_TOO_LARGE')
  })

  test('the limit is told', async () => {
    for (const path of ['/_matrix/client/v1/media/config', '/_matrix/media/v3/config']) {
      const { body } = await server.request('GET', path, { token: alice.token })
      expect(body).toEqual({ 'm.upload.size': limit })
    }
  })

  test('nothing is uploaded or downloaded without an access token', async () => {
    const id = await upload('x')
    const requests = [
      ['POST', '/_matrix/media/v3/upload'],
      ['POST', '/_matrix/media/v1/create'],
      ['PUT', `/_matrix/media/v3/upload/${id}`],
      ['GET', `/_matrix/client/v1/media/download/${id}`],
      ['GET', `/_matrix/client/v1/media/download/${id}/name`],
      ['GET', `/_matrix/client/v1/media/thumbnail/${id}?width=32&height=32`],
      ['GET', '/_matrix/client/v1/media/config'],
    ] as const
    for (const [method, path] of requests) {
      await expectError(await server.fetch(path, { method }), 401, 'M_MISSING_TOKEN')
    }
  })
})

describe('downloads', () => {
  test('a range is answered with that part', async () => {
    const response = await download(await upload('0123456789'), { Range: 'bytes=2-4' })
    expect({ status: response.status, text: await response.text() }).toEqual({ status: 206, text: '234' })
    expect(response.headers.get('Content-Range')).toBe('bytes 2-4/10')
    expect(response.headers.get('Content-Length')).toBe('3')
  })

  test('a range beyond the end is refused', async () => {
    const response = await download(await upload('0123456789'), { Range: 'bytes=10-' })
    expect(response.status).toBe(416)
    expect(response.headers.get('Content-Range')).toBe('bytes */10')
  })

  test('a range on condition of another version is answered with the whole', async () => {
    const id = await upload('0123456789')
    const etag = (await download(id)).headers.get('ETag') ?? ''
    expect((await download(id, { Range: 'bytes=0-1', 'If-Range': etag })).status).toBe(206)
    expect((await download(id, { Range: 'bytes=0-1', 'If-Range': '"other"' })).status).toBe(200)
    expect((await download(id, { 'If-None-Match': etag })).status).toBe(304)
  })

  test.each(['test.local/unknown', 'other.example/a.c', 'test.local/..%2F..%2Fmedia', 'test.local/%00'])(
    '%s is not found',
    async (id) => {
      await expectError(await download(id), 404, 'M_NOT_FOUND')
    },
  )

  test('MSC3916: media is there under the unstable names of authenticated media as well, and its flag', async () => {
    const id = await upload(await picture('png', 64, 64), 'image/png')
    const unstable = '/_matrix/client/unstable/org.matrix.msc3916/media'
    const whole = Buffer.from(await (await download(id)).arrayBuffer())
    for (const path of [`${unstable}/download/${id}`, `${unstable}/download/${id}/name.png`]) {
      await expectError(await server.fetch(path), 401, 'M_MISSING_TOKEN')
      expect(Buffer.from(await (await send('GET', path, null)).arrayBuffer())).toEqual(whole)
    }
    const small = await send('GET', `${unstable}/thumbnail/${id}?width=32&height=32`, null)
    expect(await metadata(Buffer.from(await small.arrayBuffer()))).toMatchObject({ width: 32, height: 32 })
    const stable = await send('GET', '/_matrix/client/v1/media/config', null)
    expect(await (await send('GET', `${unstable}/config`, null)).text()).toBe(await stable.text())
    const { body } = await server.request('GET', '/_matrix/client/versions')
    expect(body['unstable_features']).toMatchObject({ 'org.matrix.msc3916.stable': true })
  })

  test('MSC3916: the endpoints without authentication are frozen', async () => {
    const id = await upload(await picture('png', 64, 64), 'image/png')
    await expectError(await server.fetch(`/_matrix/media/v3/download/${id}`), 404, 'M_NOT_FOUND')
    await expectError(await server.fetch(`/_matrix/media/v3/download/${id}/name.png`), 404, 'M_NOT_FOUND')
    const small = `/_matrix/media/v3/thumbnail/${id}?width=32&height=32`
    await expectError(await server.fetch(small), 404, 'M_NOT_FOUND')
  })

  test('unless the operator wants them', async () => {
    const open = await startServer({ vars: { UNAUTHENTICATED_MEDIA: 'on' } })
    const { token } = await open.register('carol')
    const image = await picture('png', 64, 64)
    const uploaded = await open.fetch('/_matrix/media/v3/upload', {
      method: 'POST',
      body: image,
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'image/png' },
    })
    const { content_uri: uri }: { content_uri: string } = JSON.parse(await uploaded.text())
    const id = uri.slice('mxc://'.length)
    const response = await open.fetch(`/_matrix/media/v3/download/${id}`)
    expect(Buffer.from(await response.arrayBuffer())).toEqual(Buffer.from(image))
    const small = await open.fetch(`/_matrix/media/v3/thumbnail/${id}?width=32&height=32`)
    expect(await metadata(Buffer.from(await small.arrayBuffer()))).toMatchObject({ width: 32, height: 32 })
    await open.stop()
  })
})

describe('ids created before their upload', () => {
  test('take one upload, by their creator', async () => {
    const id = await create()
    const path = `/_matrix/media/v3/upload/${id}`
    await expectError(await download(id, {}, '?timeout_ms=0'), 504, 'M_NOT_YET_UPLOADED')
    await expectError(await server.fetch(`/_matrix/media/v3/download/${id}`), 504, 'M_NOT_YET_UPLOADED')
    await expectError(await send('PUT', path, 'x', {}, bob), 403, 'M_FORBIDDEN')
    expect((await send('PUT', path, 'hello', { 'Content-Type': 'text/plain' })).status).toBe(200)
    await expectError(await send('PUT', path, 'again'), 409, 'M_CANNOT_OVERWRITE_MEDIA')
    expect(await (await download(id)).text()).toBe('hello')
  })

  test('of two uploads at once, one is kept whole', async () => {
    const id = await create()
    const texts = ['a'.repeat(100_000), 'b'.repeat(100_000)]
    const answers = await Promise.all(
      texts.map((text) => send('PUT', `/_matrix/media/v3/upload/${id}`, text)),
    )
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200, 409]))
    expect(await (await download(id)).text()).toBe(
      texts[answers.findIndex((answer) => answer.status === 200)],
    )
  })

  test('are waited for', async () => {
    const id = await create()
    const waiting = download(id, {}, '?timeout_ms=20000')
    await send('PUT', `/_matrix/media/v3/upload/${id}`, 'late')
    expect(await (await waiting).text()).toBe('late')
  })

  test('must have been created here', async () => {
    await expectError(
      await send('PUT', '/_matrix/media/v3/upload/test.local/unknown', 'x'),
      404,
      'M_NOT_FOUND',
    )
    const [, id = ''] = (await create()).split('/')
    await expectError(
      await send('PUT', `/_matrix/media/v3/upload/other.example/${id}`, 'x'),
      404,
      'M_NOT_FOUND',
    )
  })

  test('are few for each user', async () => {
    const carol = await server.register('carol')
    const id = await create(carol)
    for (let i = 1; i < 20; i += 1) await create(carol)
    const path = '/_matrix/media/v1/create'
    const refused = await server.request('POST', path, { token: carol.token })
    expect(refused).toMatchObject({ status: 429, body: { errcode: 'M_LIMIT_EXCEEDED' } })
    expect(refused.headers.get('Retry-After')).toMatch(/^\d+$/)
    await send('PUT', `/_matrix/media/v3/upload/${id}`, 'x', {}, carol)
    expect((await server.request('POST', path, { token: carol.token })).status).toBe(200)
  })
})

describe('thumbnails', () => {
  test.each([
    ['png', 'png'],
    ['gif', 'png'],
    ['jpeg', 'jpeg'],
    ['webp', 'jpeg'],
  ] as const)('of a %s are made as %s', async (format, made) => {
    const id = await upload(await picture(format, 400, 200), 'application/octet-stream')
    const scaled = await thumbnail(id, 'width=90&height=90')
    expect(scaled.response.headers.get('Content-Type')).toBe(`image/${made}`)
    expect(scaled.response.headers.get('Content-Disposition')).toMatch(/^inline; filename="thumbnail\./)
    expect(await metadata(scaled.bytes)).toMatchObject({ format: made, width: 192, height: 96 })
    const [red = 0, , blue = 0] = await pixel(scaled.bytes, 20, 48)
    expect(red - blue).toBeGreaterThan(200)

    const cropped = await thumbnail(id, 'width=90&height=90&method=crop')
    expect(await metadata(cropped.bytes)).toMatchObject({ format: made, width: 96, height: 96 })
  })

  test('are made once', async () => {
    const id = await upload(await picture('png', 400, 200))
    const first = await thumbnail(id, 'width=32&height=32')
    const counts = await server.measure(async () => {
      expect((await thumbnail(id, 'width=20&height=30')).bytes).toEqual(first.bytes)
    })
    expect(counts.r2Operations).toBe(1)
  })

  test('keep transparency', async () => {
    const { bytes } = await thumbnail(
      await upload(await picture('webp', 400, 200, true)),
      'width=32&height=32',
    )
    expect((await metadata(bytes)).format).toBe('png')
    expect((await pixel(bytes, 60, 16))[3]).toBe(0)
  })

  test('stand upright', async () => {
    const { bytes } = await thumbnail(await upload(await turnedJpeg(400, 200)), 'width=32&height=32')
    expect(await metadata(bytes)).toMatchObject({ width: 32, height: 64 })
  })

  test('are never larger than the image, which is then sent as it is', async () => {
    const image = await picture('png', 40, 20)
    const { response, bytes } = await thumbnail(await upload(image, 'text/html'), 'width=96&height=96')
    expect(response.headers.get('Content-Type')).toBe('image/png')
    expect(Buffer.compare(bytes, image)).toBe(0)
  })

  test('do not move unless that is asked for', async () => {
    const image = await animation(8, 8)
    const id = await upload(image)
    expect(await metadata((await thumbnail(id, 'width=96&height=96')).bytes)).toMatchObject({
      format: 'png',
      width: 8,
    })
    const moving = await thumbnail(id, 'width=96&height=96&animated=true')
    expect(Buffer.compare(moving.bytes, image)).toBe(0)
  })

  test('are not made of images that are huge when decoded', async () => {
    const bomb = await picture('png', 2000, 1000)
    const { response, bytes } = await thumbnail(await upload(bomb), 'width=32&height=32')
    expect(response.status).toBe(413)
    expect(new TextDecoder().decode(bytes)).toContain('M_TOO_LARGE')
  })

  test('are not made of what is no image, or a broken one', async () => {
    const image = await picture('png', 400, 200)
    const broken = [new TextEncoder().encode('<svg/>'), new Uint8Array(), image.slice(0, 60)]
    for (const bytes of [...broken, (await picture('jpeg', 400, 200)).slice(0, 200)]) {
      const { response } = await thumbnail(await upload(bytes, 'image/png'), 'width=32&height=32')
      expect(response.status).toBe(400)
    }
    // And the decoders still work.
    expect((await thumbnail(await upload(image), 'width=32&height=32')).response.status).toBe(200)
  })

  test.each([
    '',
    'width=32',
    'width=0&height=32',
    'width=-1&height=32',
    'width=a&height=32',
    'width=32&height=32&method=x',
  ])('need a size that makes sense, unlike %j', async (query) => {
    const { response, bytes } = await thumbnail('test.local/any', query)
    expect(response.status).toBe(400)
    expect(new TextDecoder().decode(bytes)).toMatch(/M_(MISSING|INVALID)_PARAM/)
  })
})
