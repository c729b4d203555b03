// What is handed to each of the three ways by which mail goes out.

import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { mailFolder } from '../../scripts/mail-dir.ts'
import { readWranglerConfig } from '../../scripts/wrangler-config.ts'
import type { Env } from '../../src/env.ts'
import { sendMail } from '../../src/mail/send-mail.ts'

const mail = {
  to: 'alice@example.org',
  subject: 'Hello',
  text: 'Hello Alice',
  html: '<p>Hello Alice</p>',
  unsubscribe: 'https://matrix.example.org/unsubscribe?token=t',
}
const headers = {
  'X-Auto-Response-Suppress': 'All',
  'List-Unsubscribe': '<https://matrix.example.org/unsubscribe?token=t>',
  'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click',
}
const message = {
  from: '"Hearth" <noreply@example.org>',
  to: ['alice@example.org'],
  subject: 'Hello',
  text: 'Hello Alice',
  html: '<p>Hello Alice</p>',
  headers,
}

const { vars } = readWranglerConfig()
const usual = { MAIL_FROM: 'Hearth <noreply@example.org>', PUBLIC_BASE_URL: 'https://matrix.example.org/' }

// No other binding is of use here.
function environment(more: object): Env {
  return { ...vars, ...more } as unknown as Env
}

let lines: string[]
beforeEach(() => {
  lines = []
  vi.spyOn(console, 'log').mockImplementation((line: string) => void lines.push(line))
})
afterEach(() => vi.restoreAllMocks())

describe('the binding of the platform', () => {
  it('gets the fields of the mail', async () => {
    const send = vi.fn().mockResolvedValue({ messageId: '1' })
    await sendMail(environment({ ...usual, EMAIL: { send } }), mail)
    const { to, subject, text, html } = mail
    const from = { name: 'Hearth', email: 'noreply@example.org' }
    expect(send.mock.calls).toEqual([[{ from, to, subject, text, html, headers }]])
  })

  it('is said to have failed without the address', async () => {
    const failure = Object.assign(new Error('alice@example.org is not verified'), { code: 'E_NOT_VERIFIED' })
    const send = vi.fn().mockRejectedValue(failure)
    await expect(sendMail(environment({ ...usual, EMAIL: { send } }), mail)).rejects.toMatchObject({
      errcode: 'M_EMAIL_SEND_ERROR',
      status: 400,
      message: 'The mail could not be sent',
    })
    expect(lines.join()).toContain('E_NOT_VERIFIED')
    expect(lines.join()).not.toContain('alice')
  })
})

describe('an HTTP provider', () => {
  const requests: { authorization: string | undefined; body: unknown }[] = []
  let status = 200
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray()).toString('utf8')
    requests.push({ authorization: request.headers.authorization, body: JSON.parse(body) })
    response.writeHead(status).end('alice@example.org is no address')
  })
  let env: Env
  beforeEach(async () => {
    requests.length = 0
    status = 200
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const { port } = server.address() as AddressInfo
    env = environment({ ...usual, MAIL_URL: `http://127.0.0.1:${port}/mails`, MAIL_TOKEN: 'secret' })
  })
  afterEach(() => {
    server.closeAllConnections()
    server.close()
  })

  it('gets the mail as JSON, with the token', async () => {
    await sendMail(env, mail)
    expect(requests).toEqual([{ authorization: 'Bearer secret', body: message }])
  })

  it.each([302, 400, 500])(
    'that answers %d has not taken the mail, and nothing is said of the address',
    async (answer) => {
      status = answer
      await expect(sendMail(env, mail)).rejects.toMatchObject({ errcode: 'M_EMAIL_SEND_ERROR', status: 400 })
      expect(lines.join()).toContain(`status ${answer}`)
      expect(lines.join()).not.toContain('alice')
    },
  )
})

describe('the folder of the launcher', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hearth-mail-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  it('has a file for each mail', async () => {
    const handler = mailFolder(join(folder, 'mails'))
    const server = createServer((request, response) => void handler(request, response))
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const { port } = server.address() as AddressInfo
    const launcher = {
      fetch: (_: string, init: RequestInit) => fetch(`http://127.0.0.1:${port}/`, init),
    }
    await sendMail(environment({ ...usual, MAIL_SINK: launcher }), mail)
    await sendMail(environment({ ...usual, MAIL_SINK: launcher }), { ...mail, subject: 'Again' })
    server.closeAllConnections()
    server.close()
    const files = (await readdir(join(folder, 'mails'))).sort()
    const written = await Promise.all(files.map((name) => readFile(join(folder, 'mails', name), 'utf8')))
    expect(written.map((text): unknown => JSON.parse(text))).toEqual([
      message,
      { ...message, subject: 'Again' },
    ])
  })
})

describe('without mail', () => {
  it('sending is refused', async () => {
    await expect(sendMail(environment({}), mail)).rejects.toMatchObject({
      errcode: 'M_THREEPID_MEDIUM_NOT_SUPPORTED',
      status: 400,
    })
  })

  const url = 'https://mail.example.org'
  it.each([
    [{ MAIL_FROM: 'a@b.org' }, 'MAIL_FROM needs MAIL_URL'],
    [{ MAIL_URL: url, PUBLIC_BASE_URL: url }, 'MAIL_FROM must name the sender'],
    [{ MAIL_URL: url, MAIL_FROM: 'a@b.org' }, 'PUBLIC_BASE_URL must be set'],
    [
      { MAIL_URL: 'mail', PUBLIC_BASE_URL: url, MAIL_FROM: 'a@b.org' },
      'MAIL_URL must be an http or https URL',
    ],
    [{ MAIL_URL: url, PUBLIC_BASE_URL: 'x:y', MAIL_FROM: 'a@b.org' }, 'PUBLIC_BASE_URL must be an http'],
    [{ MAIL_URL: url, PUBLIC_BASE_URL: url, MAIL_FROM: 'A <b>' }, 'MAIL_FROM must be an address'],
    [
      { MAIL_URL: url, PUBLIC_BASE_URL: url, MAIL_FROM: 'A\r\nBcc: <c@d.org>' },
      'MAIL_FROM must be an address',
    ],
  ])('settings that make no sense are named: %j', async (settings, error) => {
    await expect(sendMail(environment(settings), mail)).rejects.toThrow(error)
  })

  it('the name of the server stands in for that of the sender', async () => {
    const send = vi.fn().mockResolvedValue({ messageId: '1' })
    await sendMail(
      environment({ ...usual, MAIL_FROM: 'a@b.org', SERVER_NAME: 'b.org', EMAIL: { send } }),
      mail,
    )
    expect(send.mock.calls[0]?.[0]).toMatchObject({ from: { name: 'b.org', email: 'a@b.org' } })
  })
})
