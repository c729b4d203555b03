import { describe, expect, test } from 'vitest'
import { srvRecords } from '../../../src/federation/client/cloudflare-transport.ts'
import { discover, type Route, type SrvRecord } from '../../../src/federation/client/discovery.ts'
import type { ServerName } from '../../../src/matrix/event.ts'

interface World {
  readonly wellKnown?: Readonly<Record<string, string>>
  readonly srv?: Readonly<Record<string, readonly SrvRecord[]>>
}

/** The route to a server, and what was looked up on the way. */
async function find(serverName: string, { wellKnown = {}, srv = {} }: World = {}) {
  const lookUps: string[] = []
  const route = await discover(serverName as ServerName, {
    wellKnown: (hostname) => {
      lookUps.push(`well-known ${hostname}`)
      return Promise.resolve(wellKnown[hostname] as ServerName | undefined)
    },
    srv: (name) => {
      lookUps.push(`srv ${name}`)
      return Promise.resolve(srv[name] ?? [])
    },
  })
  return { route, lookUps }
}

const route = (host: string, port: number, hostHeader: string, certificateName = host): Route => ({
  targets: [{ host, port }],
  hostHeader,
  certificateName,
})
const record = (name: string, port: number, priority = 10, weight = 5): SrvRecord => ({
  name,
  port,
  priority,
  weight,
})

describe('nothing is looked up', () => {
  test.each([
    ['1. for an IPv4 literal', '192.0.2.1', route('192.0.2.1', 8448, '192.0.2.1')],
    ['1. for an IPv4 literal with a port', '192.0.2.1:80', route('192.0.2.1', 80, '192.0.2.1:80')],
    ['1. for an IPv6 literal', '[2001:db8::1]', route('2001:db8::1', 8448, '[2001:db8::1]')],
    ['1. for an IPv6 literal with a port', '[2001:db8::1]:80', route('2001:db8::1', 80, '[2001:db8::1]:80')],
    ['2. for a name with a port', 'a.test:443', route('a.test', 443, 'a.test:443')],
  ])('%s', async (_, name, expected) => {
    expect(await find(name)).toEqual({ route: expected, lookUps: [] })
  })
})

describe('3. a delegation', () => {
  const delegated = (to: string, srv: World['srv'] = {}) =>
    find('a.test', { wellKnown: { 'a.test': to }, srv })

  test.each([
    ['3.1. to an IP literal', '192.0.2.1', route('192.0.2.1', 8448, '192.0.2.1')],
    ['3.1. to an IP literal with a port', '[2001:db8::1]:1', route('2001:db8::1', 1, '[2001:db8::1]:1')],
    ['3.2. to a name with a port', 'b.test:443', route('b.test', 443, 'b.test:443')],
  ])('%s', async (_, to, expected) => {
    expect(await delegated(to)).toEqual({ route: expected, lookUps: ['well-known a.test'] })
  })

  test('3.3. to a name with an SRV record', async () => {
    const found = await delegated('b.test', { '_matrix-fed._tcp.b.test': [record('c.test.', 1)] })
    expect(found.route).toEqual(route('c.test', 1, 'b.test', 'b.test'))
    expect(found.lookUps).toEqual(['well-known a.test', 'srv _matrix-fed._tcp.b.test'])
  })

  test('3.4. to a name with an SRV record of the deprecated kind', async () => {
    const found = await delegated('b.test', { '_matrix._tcp.b.test': [record('c.test', 1)] })
    expect(found.route).toEqual(route('c.test', 1, 'b.test', 'b.test'))
  })

  test('3.5. to a name alone', async () => {
    const { route: found, lookUps } = await delegated('b.test')
    expect(found).toEqual(route('b.test', 8448, 'b.test'))
    expect(lookUps).not.toContain('well-known b.test')
  })
})

describe('without a delegation', () => {
  test('4. an SRV record of the name is followed, for the name', async () => {
    const { route: found } = await find('a.test', {
      srv: { '_matrix-fed._tcp.a.test': [record('c.test', 1)], '_matrix._tcp.a.test': [record('d.test', 2)] },
    })
    expect(found).toEqual(route('c.test', 1, 'a.test', 'a.test'))
  })

  test('5. else one of the deprecated kind', async () => {
    const { route: found } = await find('a.test', { srv: { '_matrix._tcp.a.test': [record('d.test', 2)] } })
    expect(found).toEqual(route('d.test', 2, 'a.test', 'a.test'))
  })

  test('6. else port 8448', async () => {
    const { route: found, lookUps } = await find('a.test')
    expect(found).toEqual(route('a.test', 8448, 'a.test'))
    expect(lookUps).toEqual(['well-known a.test', 'srv _matrix-fed._tcp.a.test', 'srv _matrix._tcp.a.test'])
  })
})

describe('SRV records', () => {
  test('come by priority, and all of them', async () => {
    const records = [record('c.test', 3, 20), record('a.test', 1, 5), record('b.test', 2, 10, 0)]
    const { route: found } = await find('x.test', { srv: { '_matrix-fed._tcp.x.test': records } })
    expect(found.targets).toEqual([
      { host: 'a.test', port: 1 },
      { host: 'b.test', port: 2 },
      { host: 'c.test', port: 3 },
    ])
  })

  test('of one priority come mostly by weight', async () => {
    const records = [record('light.test', 1, 1, 1), record('heavy.test', 2, 1, 99)]
    let heavyFirst = 0
    for (let n = 0; n < 200; n++) {
      const { route: found } = await find('x.test', { srv: { '_matrix-fed._tcp.x.test': records } })
      if (found.targets[0]?.host === 'heavy.test') heavyFirst++
    }
    expect(heavyFirst).toBeGreaterThan(150)
  })

  test('that say there is no service lead nowhere', async () => {
    const { route: found } = await find('a.test', { srv: { '_matrix-fed._tcp.a.test': [record('.', 0)] } })
    expect(found).toEqual(route('a.test', 8448, 'a.test'))
  })

  test('are read from DNS answers in JSON', () => {
    const Answer = [
      { name: 'x', type: 5, TTL: 60, data: 'alias.test.' },
      { name: 'x', type: 33, TTL: 60, data: '10 5 8448 c.test.' },
      { name: 'x', type: 33, TTL: 60, data: 'nonsense' },
    ]
    expect(srvRecords({ Status: 0, Answer })).toEqual([record('c.test.', 8448)])
    expect(srvRecords({ Status: 3 })).toEqual([])
  })
})
