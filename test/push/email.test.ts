// Pushers that send mails: set, told of by mail, ended by the link in one. Over HTTP, with mails kept in memory.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { linkIn, mailbox, mailVars } from '../support/mailbox.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

const box = mailbox()
let server: TestServer
beforeAll(async () => {
  server = await startServer({ mail: box.handler, vars: { ...mailVars, MAIL_NOTIFY_AFTER_SECONDS: '1' } })
})
afterAll(() => server.stop())

let n = 0
let alice: RoomClient
let bob: RoomClient
let roomId: string
let address: string
beforeEach(async () => {
  n += 1
  box.received.length = 0
  alice = await newClient(server, `alice${n}`)
  bob = await newClient(server, `bob${n}`)
  address = `bob${n}@example.org`
  await giveAddress(bob, address)
  roomId = await alice.createRoom({ preset: 'public_chat', name: `Room <${n}>` })
  await bob.join(roomId)
})

async function giveAddress({ userId }: RoomClient, email: string): Promise<void> {
  const db = await server.mf.getD1Database('DB')
  await db.prepare("INSERT INTO threepids VALUES ('email', ?, ?, 1, 1)").bind(email, userId).run()
}

const pusher = (more: JsonObject = {}): JsonObject => ({
  kind: 'email',
  app_id: 'm.email',
  pushkey: address,
  app_display_name: 'Email Notifications',
  device_display_name: address,
  lang: 'en',
  data: { brand: 'x' },
  append: true,
  ...more,
})
const set = (client: RoomClient, more: JsonObject = {}) => client.call('POST', '/pushers/set', pusher(more))
const pushersOf = async (client: RoomClient) => (await client.done('GET', '/pushers')).pushers
const say = (body: string) => alice.send(roomId, { msgtype: 'm.text', body })

describe('a pusher of kind email', () => {
  it('is for an address of the account, and listed as it was set', async () => {
    expect((await set(bob)).status).toBe(200)
    const { append: _, ...listed } = pusher()
    expect(await pushersOf(bob)).toEqual([listed])
    expect((await set(bob, { kind: null })).status).toBe(200)
    expect(await pushersOf(bob)).toEqual([])
  })

  it.each<[string, JsonObject, string]>([
    ['an address of nobody', { pushkey: 'nobody@example.org' }, 'M_THREEPID_NOT_FOUND'],
    ['what is no address', { pushkey: 'nothing' }, 'M_INVALID_PARAM'],
    ['two addresses', { pushkey: 'a@example.org\r\nBcc: b@example.org' }, 'M_INVALID_PARAM'],
    ['another app', { app_id: 'org.example.app' }, 'M_INVALID_PARAM'],
  ])('is refused for %s', async (_, more, errcode) => {
    expect(await set(bob, more)).toEqual(refusal(400, errcode))
  })

  it('is refused for the address of another account', async () => {
    expect(await set(alice)).toEqual(refusal(400, 'M_THREEPID_NOT_FOUND'))
  })

  it('goes with the address', async () => {
    await set(bob)
    await bob.done('POST', '/account/3pid/delete', { medium: 'email', address: `Bob${n}@example.org` })
    expect(await pushersOf(bob)).toEqual([])
  })
})

describe('a mail', () => {
  it('tells of what is unread, once', async () => {
    await alice.done('PUT', `/profile/${alice.userId}/displayname`, { displayname: 'Alice\n& Co' })
    await set(bob)
    await say('hello <b>Bob</b>')
    const [mail] = await box.mailsTo(address)
    expect(mail).toMatchObject({
      to: [address],
      subject: 'Unread messages on test.local',
      headers: {
        'List-Unsubscribe': expect.stringContaining('/unsubscribe?user='),
        'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click',
      },
    })
    expect(mail?.text).toContain(`Room <${n}>\n- Alice & Co: hello <b>Bob</b>\n`)
    expect(mail?.html).toContain('hello &lt;b&gt;Bob&lt;/b&gt;')
    await say('and now?')
    await sleep(1500)
    expect(box.received.length).toBe(1)
  })

  it('says nothing of what is said in encrypted rooms', async () => {
    await alice.setState(roomId, 'm.room.encryption', { algorithm: 'm.megolm.v1.aes-sha2' })
    await set(bob)
    await alice.send(roomId, { algorithm: 'm.megolm.v1.aes-sha2', ciphertext: 'secret' }, 'm.room.encrypted')
    await say('a secret in the clear')
    const [mail] = await box.mailsTo(address)
    expect(mail?.text).toContain('an encrypted message')
    expect(JSON.stringify(mail)).not.toContain('secret')
  })

  it('has a link to a page with a button that ends such mails', async () => {
    await set(bob)
    await say('hello')
    const [mail] = await box.mailsTo(address)
    if (!mail) throw new Error('no mail')
    const link = linkIn(mail)
    const page = await server.fetch(link)
    expect([page.status, await page.text()]).toEqual([
      200,
      expect.stringContaining('<button>Unsubscribe</button>'),
    ])
    expect((await server.fetch(`${link.slice(0, -3)}xyz`, { method: 'POST' })).status).toBe(200)
    expect(await pushersOf(bob)).toMatchObject([{ pushkey: address }])
    // As mail programs do it by themselves.
    const body = new URLSearchParams({ 'List-Unsubscribe': 'One-Click' })
    expect((await server.fetch(link, { method: 'POST', body })).status).toBe(200)
    expect(await pushersOf(bob)).toEqual([])
    expect((await server.fetch(link, { method: 'POST' })).status).toBe(200)
    expect((await server.fetch('/_matrix/client/unstable/hearth/email/unsubscribe')).status).toBe(400)
  })

  it('is not logged with its address', () => {
    expect(server.logs.join('\n')).not.toContain('@example.org')
  })
})

it('what waits for a mail costs two rows a message, and the mail itself a few', async () => {
  const sayFive = async () => {
    for (let i = 0; i < 5; i++) await say(`message ${i}`)
  }
  await say('first')
  const without = await server.measure(sayFive)
  await set(bob)
  const withMail = await server.measure(async () => {
    await sayFive()
    await box.mailsTo(address)
  })
  expect(withMail.doRowsWritten - without.doRowsWritten).toBeLessThanOrEqual(5 * 2 + 5)
})
