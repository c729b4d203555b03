// Attack: files that run where they are shown. Downloads come from an origin that may hold a session.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Account, startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let alice: Account
beforeAll(async () => {
  server = await startServer({ vars: { UNAUTHENTICATED_MEDIA: 'on' } })
  alice = await server.register('alice')
})
afterAll(() => server.stop())

const script = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
const types = [
  'text/html',
  'TEXT/HTML; charset=utf-8',
  'image/svg+xml',
  'Image/SVG+XML',
  'application/xhtml+xml',
  'text/xml',
  'application/xml',
  'text/javascript',
  'application/pdf',
  'multipart/mixed',
  'text/html, image/png',
  'image/png\u00a0, text/html',
  '',
]

async function upload(type: string): Promise<string> {
  const response = await server.fetch('/_matrix/media/v3/upload?filename=a.html', {
    method: 'POST',
    headers: { Authorization: `Bearer ${alice.token}`, 'Content-Type': type },
    body: new TextEncoder().encode(script),
  })
  const { content_uri: uri }: { content_uri: string } = JSON.parse(await response.text())
  return uri.slice('mxc://'.length)
}

test.each(types)('a file of the type %j is not shown inline by any endpoint', async (type) => {
  const id = await upload(type)
  const ways = [
    `/_matrix/client/v1/media/download/${id}`,
    `/_matrix/client/v1/media/download/${id}/image.png`,
    `/_matrix/media/v3/download/${id}`,
    `/_matrix/media/v3/download/${id}/image.png`,
    `/_matrix/media/r0/download/${id}`,
    `/_matrix/client/v1/media/thumbnail/${id}?width=32&height=32`,
    `/_matrix/media/v3/thumbnail/${id}?width=32&height=32&method=crop`,
  ]
  let shown = 0
  for (const way of ways) {
    const response = await server.fetch(way, { headers: { Authorization: `Bearer ${alice.token}` } })
    const text = await response.text()
    if (response.status !== 200) {
      expect(response.headers.get('Content-Type'), way).toMatch(/^application\/json/)
      continue
    }
    expect(response.headers.get('X-Content-Type-Options'), way).toBe('nosniff')
    expect(response.headers.get('Content-Security-Policy'), way).toMatch(/sandbox.*default-src 'none'/)
    shown += 1
    expect(text, way).toBe(script)
    expect(response.headers.get('Content-Disposition'), way).toMatch(/^attachment/)
  }
  expect(shown).toBeGreaterThan(2)
})

test('no answer of the API can be taken for a page', async () => {
  for (const path of [
    '/_matrix/client/v3/sync',
    '/_matrix/client/v3/profile/<script>',
    '/<script>',
    '/_matrix/x',
  ]) {
    const response = await server.fetch(path)
    expect(response.headers.get('Content-Type'), path).toMatch(/^application\/json/)
    await response.text()
  }
})
