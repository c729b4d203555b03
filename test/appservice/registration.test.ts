// Registrations of application services. Application service API, "Registration".

import { describe, expect, it } from 'vitest'
import { parseRegistration } from '../../src/appservice/registration.ts'
import { readAppservices } from '../../src/appservice/registrations.ts'
import type { ServerName } from '../../src/matrix/event.ts'
import type { Env } from '../../src/env.ts'

const serverName = 'example.org' as ServerName

const irc = {
  id: 'irc',
  url: 'http://127.0.0.1:9999/bridge/',
  as_token: 'as-secret',
  hs_token: 'hs-secret',
  sender_localpart: '_irc_bot',
  namespaces: { users: [{ exclusive: true, regex: '@_irc_.*' }], aliases: [], rooms: [] },
}

function read(changes: Record<string, unknown> = {}) {
  return parseRegistration('APPSERVICE_IRC', JSON.stringify({ ...irc, ...changes }), serverName)
}

describe('a registration', () => {
  it('is read with its defaults', () => {
    const read1 = read()
    expect(read1).toMatchObject({
      id: 'irc',
      url: 'http://127.0.0.1:9999/bridge',
      sender: '@_irc_bot:example.org',
      rateLimited: true,
      receivesEphemeral: false,
      protocols: [],
    })
    expect(JSON.stringify(read1)).not.toContain('as-secret')
  })

  it('has namespaces whose expressions begin at the first character', () => {
    const { users } = read()
    expect(users.map(({ matches }) => matches('@_irc_alice:example.org'))).toEqual([true])
    expect(users.map(({ matches }) => matches('x@_irc_alice:example.org'))).toEqual([false])
    // An alternative is bound to the beginning as well.
    const either = read({ namespaces: { users: [{ exclusive: false, regex: '@a|@b' }] } }).users
    expect(either.map(({ matches }) => matches('x@b'))).toEqual([false])
  })

  it('has a sender with letters of both cases, as bridges draw them', () => {
    const { sender } = read({ sender_localpart: 'yCPSGyNSgmoYtPnVFJmC4JOXLxnnWZSE' })
    expect(sender).toBe('@yCPSGyNSgmoYtPnVFJmC4JOXLxnnWZSE:example.org')
  })

  it('needs no URL', () => {
    expect(read({ url: null }).url).toBeUndefined()
    expect(read({ url: '' }).url).toBeUndefined()
  })

  it('asks for ephemeral events by the name of MSC2409 or by that of the specification', () => {
    expect(read({ receive_ephemeral: true }).receivesEphemeral).toBe(true)
    expect(read({ 'de.sorunome.msc2409.push_ephemeral': true }).receivesEphemeral).toBe(true)
    expect(
      read({ receive_ephemeral: false, 'de.sorunome.msc2409.push_ephemeral': true }).receivesEphemeral,
    ).toBe(false)
  })

  it.each([
    ['id', { id: '' }],
    ['as_token', { as_token: 7 }],
    ['hs_token', { hs_token: undefined }],
    ['sender_localpart', { sender_localpart: 'b ot' }],
    ['sender_localpart', { sender_localpart: 'b:ot' }],
    ['url', { url: 'ftp://127.0.0.1' }],
    ['url', { url: 'http://u:secret@127.0.0.1' }],
    ['url', { url: undefined }],
    ['namespaces', { namespaces: [] }],
    ['namespaces.users', { namespaces: { users: {} } }],
    ['namespaces.users[0].regex', { namespaces: { users: [{ exclusive: true, regex: '(' }] } }],
    ['namespaces.rooms[0].exclusive', { namespaces: { rooms: [{ regex: '!a' }] } }],
    ['rate_limited', { rate_limited: 'no' }],
    ['protocols', { protocols: ['irc', 1] }],
  ])('is refused for %s, by name and without its tokens', (field, changes) => {
    const reading = () => read(changes)
    expect(reading).toThrow(`APPSERVICE_IRC: ${field} `)
    expect(reading).not.toThrow(/secret/)
  })
})

describe('all registrations', () => {
  const env = (variables: Record<string, string>) => variables as unknown as Env

  it('are the variables whose names say so', () => {
    const other = { ...irc, id: 'other', as_token: 'b', sender_localpart: 'other' }
    const found = readAppservices(
      env({
        APPSERVICE_B: JSON.stringify(irc),
        APPSERVICE_A: JSON.stringify(other),
        APPSERVICE_EMPTY: '',
        SERVER_NAME: 'x',
      }),
      serverName,
    )
    expect(found.map(({ id }) => id)).toEqual(['other', 'irc'])
  })

  it.each([
    ['id', { as_token: 'b', sender_localpart: 'b' }],
    ['as_token', { id: 'b', sender_localpart: 'b' }],
    ['sender_localpart', { id: 'b', as_token: 'b' }],
  ])('must differ in %s', (field, changes) => {
    const variables = {
      APPSERVICE_A: JSON.stringify(irc),
      APPSERVICE_B: JSON.stringify({ ...irc, ...changes }),
    }
    expect(() => readAppservices(env(variables), serverName)).toThrow(new RegExp(`APPSERVICE_B.*${field}`))
  })
})
