// What one other server may ask for.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { allowances } from '../../../src/federation/server/origin-limits.ts'
import type { ServerName } from '../../../src/matrix/event.ts'
import { type AskingServer, askingServer, federation } from '../../support/asking-server.ts'
import { startServer, type TestServer } from '../../support/server.ts'

const [one, two] = ['one.test', 'two.test'] as [ServerName, ServerName]
const hour = 3_600_000

describe('an allowance', () => {
  it('is an eighth of a day at once, and comes back bit by bit', () => {
    const take = allowances(2400)
    for (let i = 0; i < 300; i += 1) expect(take(one, 1, 0)).toBe(0)
    expect(take(one, 1, 0)).toBe(36_000)
    expect(take(one, 1, 36_000)).toBe(0)
    expect(take(one, 1, 36_000)).toBe(36_000)
    for (let i = 0; i < 100; i += 1) expect(take(one, 1, hour + 36_000)).toBe(0)
    expect(take(one, 1, hour + 36_000)).toBeGreaterThan(0)
  })

  it('is each server its own', () => {
    const take = allowances(8)
    expect([take(one, 1, 0), take(one, 1, 0) > 0, take(two, 1, 0)]).toEqual([0, true, 0])
  })

  it('can be overdrawn once, which is waited for', () => {
    const take = allowances(2400)
    expect(take(one, 350, 0)).toBe(0)
    expect(take(one, 1, 0)).toBe(51 * 36_000)
    expect(take(one, 1, 51 * 36_000)).toBe(0)
  })

  it('lets nobody wait for more than an hour at a time', () => {
    const take = allowances(8)
    expect(take(one, 50, 0)).toBe(0)
    expect(take(one, 1, 0)).toBe(hour)
  })
})

describe('a server that has used it up', () => {
  let server: TestServer
  let other: AskingServer
  beforeAll(async () => {
    const vars = { RATE_LIMITS: 'on', ORIGIN_REQUESTS_PER_DAY: '80', ORIGIN_PDUS_PER_DAY: '400' }
    server = await startServer({ vars })
    other = await askingServer(server, 'other.test')
  })
  afterAll(() => server.stop())

  const send = (from: AskingServer, txnId: string, pdus = 0) =>
    from.ask('PUT', `${federation}/v1/send/${txnId}`, {
      origin: from.serverName,
      origin_server_ts: Date.now(),
      pdus: Array.from({ length: pdus }, () => ({})),
    })

  it('is told when to come back, without a call or a row', async () => {
    for (let i = 0; i < 10; i += 1) expect((await send(other, `a${i}`)).status).toBe(200)
    let refused
    const counts = await server.measure(async () => {
      refused = await send(other, 'a10')
    })
    expect(refused).toMatchObject({
      status: 429,
      body: { errcode: 'M_LIMIT_EXCEEDED', retry_after_ms: expect.any(Number) },
    })
    expect(counts).toMatchObject({ doRequests: 0, doRowsWritten: 0, d1RowsWritten: 0 })
  })

  it('leaves others alone, who may send so many events', async () => {
    const third = await askingServer(server, 'third.test')
    expect((await send(third, 'b1', 50)).status).toBe(200)
    expect((await send(third, 'b2', 50)).status).toBe(429)
    // What carries no events is not concerned.
    expect((await send(third, 'b3')).status).toBe(200)
  })

  it('is not named by somebody who cannot sign for it', async () => {
    const fourth = await askingServer(server, 'fourth.test')
    for (let i = 0; i < 12; i += 1) {
      const answer = await server.request('PUT', `${federation}/v1/send/c${i}`, {
        body: {},
        headers: { Authorization: 'X-Matrix origin=fourth.test,key="ed25519:1",sig="AAAA"' },
      })
      expect(answer.status).toBe(401)
    }
    expect((await send(fourth, 'c')).status).toBe(200)
  })
})
