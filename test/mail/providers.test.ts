// Mail out of a running server: by an HTTP provider, and into the folder of the launcher.

import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonValue } from '../../src/matrix/json.ts'
import { freePort, killLaunched, launch, runLauncher } from '../support/launcher.ts'
import { mailVars } from '../support/mailbox.ts'
import { refusal } from '../support/room-client.ts'
import { httpClient, startServer } from '../support/server.ts'

const path = '/_matrix/client/v3/register/email/requestToken'
const body = { client_secret: 'secret', email: 'alice@example.org', send_attempt: 1 }

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hearth-providers-'))
})
afterAll(async () => {
  killLaunched()
  await rm(folder, { recursive: true, force: true })
})

it('an HTTP provider gets what is sent, and what it refuses can be sent again', async () => {
  const received: JsonValue[] = []
  let status = 500
  const provider = createServer(async (request, response) => {
    const text = Buffer.concat(await request.toArray()).toString('utf8')
    received.push([request.headers.authorization ?? '', JSON.parse(text)])
    response.writeHead(status).end('alice@example.org')
  })
  await once(provider.listen(0, '127.0.0.1'), 'listening')
  const { port } = provider.address() as AddressInfo
  const server = await startServer({
    vars: { ...mailVars, MAIL_URL: `http://127.0.0.1:${port}/mails`, MAIL_TOKEN: 'token' },
  })
  expect(await server.request('POST', path, { body })).toEqual(refusal(400, 'M_EMAIL_SEND_ERROR'))
  expect(server.logs.join('\n')).toMatch(/"mail_failed".*"status 500"/)
  expect(server.logs.join('\n')).not.toContain('alice')
  status = 202
  expect((await server.request('POST', path, { body })).status).toBe(200)
  expect(received).toMatchObject([
    ['Bearer token', { to: ['alice@example.org'] }],
    ['Bearer token', { to: ['alice@example.org'], subject: 'Confirm your address for test.local' }],
  ])
  await server.stop()
  provider.closeAllConnections()
  provider.close()
})

describe('the launcher', () => {
  it('writes mails into a folder', async () => {
    const mails = join(folder, 'mails')
    const { url, end } = await launch([
      `--data=${join(folder, 'data')}`,
      '--host=127.0.0.1',
      `--port=${await freePort()}`,
      `--mail-dir=${mails}`,
      '--mail-from=noreply@example.org',
      '--public-base-url=http://127.0.0.1:8008',
    ])
    expect((await httpClient(url).request('POST', path, { body })).status).toBe(200)
    const [file = ''] = await readdir(mails)
    const mail: unknown = JSON.parse(await readFile(join(mails, file), 'utf8'))
    expect(mail).toMatchObject({
      to: ['alice@example.org'],
      text: expect.stringContaining('http://127.0.0.1:8008/'),
    })
    await end('SIGTERM')
  })

  it('does not start with half of the settings', async () => {
    const { code, output } = await runLauncher([
      `--data=${join(folder, 'half')}`,
      '--host=127.0.0.1',
      `--port=${await freePort()}`,
      '--mail-from=noreply@example.org',
    ])
    expect([code, output]).toEqual([1, expect.stringContaining('MAIL_FROM needs MAIL_URL')])
  })
})
