import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type AskingServer, askingServer, federation } from '../../support/asking-server.ts'
import { newClient, refusal, type RoomClient } from '../../support/room-client.ts'
import { startServer, type TestServer } from '../../support/server.ts'
import { textOf } from '../../support/text-of.ts'
import { picture } from '../../media/images.ts'

let server: TestServer
let alice: RoomClient
let remote: AskingServer
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  remote = await askingServer(server, 'remote.test')
})
afterAll(() => server.stop())

async function upload(content: Uint8Array, contentType: string, filename: string): Promise<string> {
  const response = await fetch(
    `${server.url}/_matrix/media/v3/upload?filename=${encodeURIComponent(filename)}`,
    {
      method: 'POST',
      headers: { Authorization: `Bearer ${alice.token}`, 'Content-Type': contentType },
      body: new Uint8Array(content),
    },
  )
  const body: Record<string, string> = JSON.parse(await response.text())
  return textOf(body, 'content_uri').split('/').at(-1) ?? ''
}

/** The parts of an answer, each with its headers in lower case. */
async function parts(response: Response) {
  const type = response.headers.get('Content-Type') ?? ''
  const boundary = /^multipart\/mixed; boundary=(\S+)$/.exec(type)?.[1]
  if (boundary === undefined) throw new Error(`not multipart: ${type}`)
  const text: string = Buffer.from(await response.arrayBuffer()).toString('latin1')
  const [before, ...rest] = text.split(`--${boundary}`)
  expect([before, rest.at(-1)]).toEqual(['', '--\r\n'])
  return rest.slice(0, -1).map((part) => {
    const end = part.indexOf('\r\n\r\n')
    return {
      headers: part.slice(2, end).toLowerCase().split('\r\n'),
      body: Buffer.from(part.slice(end + 4, -2), 'latin1'),
    }
  })
}

const download = async (mediaId: string, headers: Record<string, string> = {}) => {
  const response = await remote.fetchRaw('GET', `${federation}/v1/media/download/${mediaId}`, null, headers)
  return response
}

describe('a download', () => {
  test('MSC3916: is there under its unstable name as well', async () => {
    const mediaId = await upload(Buffer.from('hello'), 'text/plain', 'a.txt')
    const unstable = `${federation}/unstable/org.matrix.msc3916.v2/media`
    const [, media] = await parts(await remote.fetchRaw('GET', `${unstable}/download/${mediaId}`))
    expect(media?.body.toString()).toBe('hello')
    const image = await upload(await picture('png', 300, 200), 'image/png', 'a.png')
    const [, small] = await parts(
      await remote.fetchRaw('GET', `${unstable}/thumbnail/${image}?width=32&height=32`),
    )
    expect(small?.headers[0]).toMatch(/^content-type: image/)
  })

  test('MSC3916: comes in two parts, the content as it was uploaded', async () => {
    const content = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 256))
    const mediaId = await upload(content, 'application/octet-stream', 'my file.bin')
    const [metadata, media, ...others] = await parts(await download(mediaId))
    expect(others).toEqual([])
    expect(metadata?.headers).toEqual(['content-type: application/json'])
    expect(metadata?.body.toString()).toBe('{}')
    expect(media?.headers).toEqual([
      'content-type: application/octet-stream',
      'content-disposition: attachment; filename="my file.bin"',
    ])
    expect(media?.body.equals(content)).toBe(true)
  })

  test('is whole whatever part is asked for', async () => {
    const mediaId = await upload(Buffer.from('hello'), 'text/plain', 'a.txt')
    const response = await download(mediaId, { Range: 'bytes=1-2', 'If-None-Match': '*' })
    expect(response.status).toBe(200)
    expect((await parts(response))[1]?.body.toString()).toBe('hello')
  })

  test('of unknown media is not found, and of what is not uploaded yet neither', async () => {
    expect(await remote.ask('GET', `${federation}/v1/media/download/unknown`)).toEqual(
      refusal(404, 'M_NOT_FOUND'),
    )
    const created = await server.request('POST', '/_matrix/media/v1/create', { token: alice.token, body: {} })
    const mediaId = textOf(created.body, 'content_uri').split('/').at(-1) ?? ''
    expect(await remote.ask('GET', `${federation}/v1/media/download/${mediaId}?timeout_ms=0`)).toEqual(
      refusal(504, 'M_NOT_YET_UPLOADED'),
    )
  })
})

describe('a thumbnail', () => {
  test('comes in two parts', async () => {
    const mediaId = await upload(await picture('png', 300, 200), 'image/png', 'a.png')
    const response = await remote.fetchRaw(
      'GET',
      `${federation}/v1/media/thumbnail/${mediaId}?width=96&height=96&method=crop`,
    )
    const [, media] = await parts(response)
    expect(media?.headers[0]).toMatch(/^content-type: image\/(png|jpeg)$/)
    expect(media?.body.length).toBeGreaterThan(0)
  })

  test('needs a size, and an image', async () => {
    const image = await upload(await picture('png', 300, 200), 'image/png', 'a.png')
    const text = await upload(Buffer.from('hello'), 'text/plain', 'a.txt')
    expect(await remote.ask('GET', `${federation}/v1/media/thumbnail/${image}?width=96`)).toEqual(
      refusal(400, 'M_MISSING_PARAM'),
    )
    expect(await remote.ask('GET', `${federation}/v1/media/thumbnail/${text}?width=96&height=96`)).toEqual(
      refusal(400, 'M_UNKNOWN'),
    )
  })
})
