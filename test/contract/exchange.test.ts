// What the contract test finds, shown on exchanges made up here.

import { describe, expect, test } from 'vitest'
import type { JsonValue } from '../../src/matrix/json.ts'
import { documentsAreHere, specText } from './documents.ts'
import { check, type Exchange } from './exchange.ts'
import { neverExercised, readNotes } from './notes.ts'
import { operationOf } from './operations.ts'

const json = { 'Content-Type': 'application/json' }

/** Part, pointer and rule of each violation of an exchange: a message that is sent, but for the changes. */
function violations(changes: Partial<Exchange>): string[] {
  const found = check({
    method: 'PUT',
    target: '/_matrix/client/v3/rooms/!a%3Ab/send/m.room.message/1',
    requestHeaders: new Headers(json),
    requestBody: '{}',
    status: 200,
    headers: new Headers(json),
    body: '{"event_id":"$a"}',
    askedByUs: false,
    answeredByUs: true,
    ...changes,
  })
  return found.violations.map(({ part, pointer, rule }) => `${part}: ${pointer} ${rule}`)
}

const get = (target: string, body: JsonValue, changes: Partial<Exchange> = {}) =>
  violations({ method: 'GET', target, requestBody: '', body: JSON.stringify(body), ...changes })

const refusal = (status: number, body: JsonValue, headers: Record<string, string> = json) =>
  violations({ status, headers: new Headers(headers), body: JSON.stringify(body) })

describe.runIf(documentsAreHere)('the contract test', () => {
  test('is content with an answer as its document has it', () => {
    expect(violations({})).toEqual([])
  })

  test('finds what an answer lacks, and what is of another kind', () => {
    expect(violations({ body: '{}' })).toEqual(['answer 200:  required event_id'])
    expect(violations({ body: '{"event_id":1}' })).toEqual(['answer 200: /event_id type'])
    expect(violations({ body: '{"event_id":"a"}' })).toContain('answer 200: /event_id pattern')
    expect(violations({ body: 'a' })).toEqual(['answer 200:  JSON'])
  })

  test('follows references between documents', () => {
    const event = {
      type: 'a',
      sender: '@a:b',
      origin_server_ts: 1,
      content: {},
      event_id: '$a',
      room_id: '!a:b',
    }
    const target = '/_matrix/client/v3/rooms/!a:b/messages?dir=b'
    expect(get(target, { start: 'a', chunk: [event] })).toEqual([])
    expect(get(target, { start: 'a', chunk: [{ ...event, sender: 1 }] })).toContain(
      'answer 200: /chunk/0/sender type',
    )
  })

  test('finds parameters and bodies that should not have been accepted', () => {
    const target = '/_matrix/client/v3/rooms/!a:b/messages'
    const body = { start: 'a', chunk: [] }
    expect(get(target, body)).toEqual(['query: /dir required'])
    expect(get(`${target}?dir=x`, body)).toEqual(['query: /dir enum'])
    expect(get(`${target}?dir=b&limit=x`, body)).toEqual(['query: /limit type'])
    expect(get(`${target}?dir=b&limit=5`, body)).toEqual([])
    expect(violations({ requestBody: '' })).toEqual(['request body:  required'])
    expect(violations({ requestBody: '[]' })).toEqual(['request body:  type'])
    // What is refused may be as wrong as it likes.
    expect(
      violations({ requestBody: '[]', status: 400, body: '{"errcode":"M_BAD_JSON","error":"no"}' }),
    ).toEqual([])
  })

  test('wants standard errors, with statuses that can be meant', () => {
    expect(refusal(403, { errcode: 'M_FORBIDDEN', error: 'no' })).toEqual([])
    expect(refusal(403, { errcode: 'M_FORBIDDEN' })).toEqual(['answer 403: /error error'])
    expect(refusal(500, { errcode: 'M_UNKNOWN', error: 'no' })).toEqual(['answer 500:  status'])
    expect(refusal(403, 'no', { 'Content-Type': 'text/plain' })).toEqual(['answer 403:  content type'])
    expect(refusal(429, { errcode: 'M_LIMIT_EXCEEDED', error: 'no' })).toEqual([
      'answer 429: /Retry-After required',
    ])
  })

  test('takes a request for authentication where there is one', () => {
    const target = '/_matrix/client/v3/delete_devices'
    const ask = (body: JsonValue) =>
      violations({ method: 'POST', target, status: 401, body: JSON.stringify(body) })
    expect(ask({ flows: [{ stages: ['m.login.password'] }], params: {}, session: 'a' })).toEqual([])
    expect(ask({ flows: [{}] })).toEqual(['answer 401: /flows/0 required stages'])
    expect(ask({ errcode: 'M_UNKNOWN_TOKEN', error: 'no' })).toEqual([])
  })

  test('looks at the headers of content', () => {
    const target = '/_matrix/client/v1/media/download/a.test/b'
    const headers = { 'Content-Type': 'image/png', 'Content-Disposition': 'inline' }
    const download = (fields: Record<string, string>) =>
      violations({ method: 'GET', target, headers: new Headers(fields), body: undefined })
    expect(download(headers)).toEqual([])
    expect(download({ 'Content-Type': 'image/png' })).toEqual(['answer 200: /Content-Disposition required'])
  })

  test('holds events that the server makes against their types', () => {
    const sync = (event: JsonValue) =>
      get('/_matrix/client/v3/sync', { next_batch: 'a', presence: { events: [event] } })
    const presence = { type: 'm.presence', sender: '@a:b', content: { presence: 'online' } }
    expect(sync(presence)).toEqual([])
    expect(sync({ ...presence, content: { presence: 'gone' } })).toEqual([
      'answer 200: /presence/events/0/content/presence enum',
    ])
    expect(sync({ ...presence, type: 'm.something', content: {} })).toEqual([])
  })

  test('holds EDUs that the server sends against their types', () => {
    const edu = { edu_type: 'm.typing', content: { room_id: '!a:b', user_id: '@a:b' } }
    const transaction = { origin: 'b', origin_server_ts: 1, pdus: [], edus: [edu] }
    const sent = (askedByUs: boolean) =>
      violations({
        target: '/_matrix/federation/v1/send/1',
        requestBody: JSON.stringify(transaction),
        body: '{"pdus":{}}',
        askedByUs,
      })
    expect(sent(true)).toEqual(['request body: /edus/0/content required typing'])
    expect(sent(false)).toEqual([])
  })

  test('looks at what our servers ask others, not at what made-up servers answer', () => {
    const target = '/_matrix/federation/v1/get_missing_events/!a%3Ab'
    const asked = { method: 'POST', target, answeredByUs: false, body: '{}' }
    expect(violations({ ...asked, requestBody: '{"earliest_events":[],"latest_events":["$a"]}' })).toEqual([])
    expect(violations({ ...asked, requestBody: '{"earliest_events":[]}' })).toEqual([
      'request body:  required latest_events',
    ])
  })

  test('knows every operation of the list, each with its document', () => {
    const rows = specText('endpoints.tsv').trim().split('\n').slice(1)
    const unknown = rows.flatMap((row) => {
      const [api, method = '', path = ''] = row.split('\t')
      if (api === 'cs-oauth' || path.includes('*')) return []
      const name = operationOf(method, path.replaceAll(/\{[^}]*\}/g, 'x'))?.operation.name
      return name === `${method} ${path}` ? [] : [`${method} ${path}: ${name}`]
    })
    expect(unknown).toEqual([])
  })

  test('knows operations by their paths, the old name of v3 among them', () => {
    const name = (method: string, path: string) => operationOf(method, path)?.operation.name
    expect(name('GET', '/_matrix/client/r0/sync')).toBe('GET /_matrix/client/v3/sync')
    expect(name('GET', '/_matrix/federation/v1/query/profile')).toBe(
      'GET /_matrix/federation/v1/query/profile',
    )
    expect(name('GET', '/_matrix/federation/v1/query/a')).toBe('GET /_matrix/federation/v1/query/{queryType}')
    expect(name('PUT', '/_matrix/client/v3/rooms/!a:b/state/m.room.name')).toBe(
      'PUT /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}',
    )
    expect(name('GET', '/_matrix/client/unstable/a')).toBeUndefined()
  })
})

test('an endpoint is exercised when it did what it is for', () => {
  const notes = readNotes([
    'GET /a\t200',
    'GET /b\t403',
    'PUT /c\tasked',
    'GET /d\t307',
    'violation\tanything',
  ])
  expect(neverExercised(['GET /a', 'GET /b', 'PUT /c', 'GET /d', 'GET /e'], notes)).toEqual([
    'GET /b',
    'PUT /c',
    'GET /e',
  ])
})
