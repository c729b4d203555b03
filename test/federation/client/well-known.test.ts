import { describe, expect, test } from 'vitest'
import {
  fetchWellKnown,
  type WebAnswer,
  type WellKnown,
  wellKnownCache,
} from '../../../src/federation/client/well-known.ts'
import type { ServerName } from '../../../src/matrix/event.ts'

const now = Date.parse('2026-01-01T00:00:00Z')
const hour = 3_600_000
const first = 'https://a.test/.well-known/matrix/server'

const answer = (
  status: number,
  body: string | undefined,
  headers: Record<string, string> = {},
): WebAnswer => ({
  status,
  body,
  header: (name) => headers[name],
})
const delegation = answer(200, '{"m.server":"b.test:443"}')

function ask(pages: Readonly<Record<string, WebAnswer>>) {
  const get = (url: URL) => {
    const page = pages[url.href]
    return page ? Promise.resolve(page) : Promise.reject(new Error('unreachable'))
  }
  return fetchWellKnown('a.test', get, now)
}

test('a delegation is read', async () => {
  expect(await ask({ [first]: delegation })).toEqual({
    outcome: 'delegated',
    to: 'b.test:443',
    keepMs: 24 * hour,
  })
})

describe('redirects', () => {
  const redirect = (location: string) => answer(302, '', { location })

  test('are followed, relative ones too', async () => {
    const pages = {
      [first]: redirect('https://www.a.test/x'),
      'https://www.a.test/x': redirect('/y'),
      'https://www.a.test/y': delegation,
    }
    expect(await ask(pages)).toMatchObject({ outcome: 'delegated' })
  })

  test.each([
    ['to plain HTTP', { [first]: redirect('http://a.test/'), 'http://a.test/': delegation }],
    ['to nowhere', { [first]: redirect('https://') }],
    ['without end', { [first]: redirect(first) }],
    ['without a target', { [first]: answer(301, '{"m.server":"b.test"}') }],
  ])('%s are not', async (_, pages) => {
    expect(await ask(pages)).toEqual({ outcome: 'none' })
  })
})

describe('no delegation', () => {
  test.each([
    ['404', answer(404, '{"m.server":"b.test"}')],
    ['no JSON', answer(200, '<html>')],
    ['no object', answer(200, '["b.test"]')],
    ['no m.server', answer(200, '{}')],
    ['an m.server that is no text', answer(200, '{"m.server":1}')],
    ['an m.server that is no server name', answer(200, '{"m.server":"https://b.test"}')],
    ['more than 50 KB', answer(200, undefined)],
  ])('%s', async (_, page) => {
    expect(await ask({ [first]: page })).toEqual({ outcome: 'none' })
  })

  test('a web server in trouble, or none, is a failure', async () => {
    expect(await ask({ [first]: answer(503, '') })).toEqual({ outcome: 'failed' })
    expect(await ask({})).toEqual({ outcome: 'failed' })
  })
})

describe('how long it is kept', () => {
  test.each([
    ['as long as max-age says', { 'cache-control': 'public, max-age=7200' }, 2 * hour],
    ['for 48 hours at most', { 'cache-control': 'max-age=99999999' }, 48 * hour],
    ['for 5 minutes at least', { 'cache-control': 'max-age=0' }, 300_000],
    ['for 5 minutes where it should not be', { 'cache-control': 'no-store, max-age=7200' }, 300_000],
    ['until it expires', { expires: 'Thu, 01 Jan 2026 03:00:00 GMT' }, 3 * hour],
    ['for 5 minutes if that cannot be read', { expires: '0' }, 300_000],
    ['by max-age before expiry', { 'cache-control': 'max-age=7200', expires: '0' }, 2 * hour],
    ['not by s-maxage', { 'cache-control': 's-maxage=7200' }, 24 * hour],
  ])('%s', async (_, headers, keepMs) => {
    const page = answer(200, '{"m.server":"b.test"}', headers)
    expect(await ask({ [first]: page })).toMatchObject({ keepMs })
  })
})

describe('the cache', () => {
  const to = (name: string, keepMs = hour): WellKnown => ({
    outcome: 'delegated',
    to: name as ServerName,
    keepMs,
  })

  function cache(...answers: WellKnown[]) {
    let time = now
    const asked: number[] = []
    const look = wellKnownCache(
      () => {
        asked.push(time - now)
        return Promise.resolve(answers.shift() ?? { outcome: 'failed' })
      },
      () => time,
    )
    return { asked, at: (ms: number) => ((time = now + ms), look('A.test')) }
  }

  test('asks again when a delegation has run out', async () => {
    const { asked, at } = cache(to('b.test'), to('c.test'))
    expect(await at(0)).toBe('b.test')
    expect(await at(hour - 1)).toBe('b.test')
    expect(await at(hour)).toBe('c.test')
    expect(asked).toEqual([0, hour])
  })

  test('asks less and less where there is nothing, once an hour at last', async () => {
    const { asked, at } = cache()
    for (let minute = 0; minute <= 300; minute++) expect(await at(minute * 60_000)).toBeUndefined()
    expect(asked.map((ms) => ms / 60_000)).toEqual([0, 1, 3, 7, 15, 31, 63, 123, 183, 243])
  })

  test('holds on to a delegation that cannot be renewed, for 48 hours', async () => {
    const { at } = cache(to('b.test'))
    expect(await at(0)).toBe('b.test')
    expect(await at(2 * hour)).toBe('b.test')
    expect(await at(47 * hour)).toBe('b.test')
    expect(await at(49 * hour)).toBeUndefined()
  })

  test('lets go of one that was taken back', async () => {
    const { at } = cache(to('b.test'), { outcome: 'none' })
    expect(await at(0)).toBe('b.test')
    expect(await at(hour)).toBeUndefined()
  })
})
