// The launcher's options for federation: TLS, certificate authorities, private networks, notaries.

import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, get } from 'node:https'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeAuthority } from '../support/certificates.ts'
import { type FakeHomeserver, startFakeHomeserver } from '../support/fake-homeserver.ts'
import { freePort, killLaunched, launch, runLauncher } from '../support/launcher.ts'

const authority = makeAuthority()
let folder: string
let remote: FakeHomeserver
const file = (name: string) => join(folder, name)
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hearth-start-federation-'))
  const { key, cert } = authority.issue('localhost')
  writeFileSync(file('key.pem'), key)
  writeFileSync(file('cert.pem'), cert)
  writeFileSync(file('other-key.pem'), authority.issue('localhost').key)
  writeFileSync(file('ca.pem'), authority.ca)
  writeFileSync(file('text'), 'text')
  remote = await startFakeHomeserver(authority, 'localhost')
})
afterAll(async () => {
  killLaunched()
  await remote.stop()
  await rm(folder, { recursive: true, force: true })
})

describe('what is wrong is said in one line, with exit status 1', () => {
  const tls = (key: string, cert: string) => ['--tls-key', file(key), '--tls-cert', file(cert)]

  test.each<[string, () => string[], RegExp]>([
    [
      'a TLS port that is none',
      () => ['--tls-port', '0'],
      /^hearth: --tls-port must be a number from 1 to 65535, not '0'\n$/,
    ],
    ['a key alone', () => ['--tls-key', file('key.pem')], /^hearth: --tls-key needs --tls-cert\n$/],
    ['a certificate alone', () => ['--tls-cert', file('cert.pem')], /^hearth: --tls-cert needs --tls-key\n$/],
    [
      'a key that is not there',
      () => tls('none', 'cert.pem'),
      /^hearth: --tls-key: cannot read \S+\/none: ENOENT\n$/,
    ],
    [
      'a certificate that is none',
      () => tls('key.pem', 'text'),
      /^hearth: --tls-cert: \S+\/text is not in PEM\n$/,
    ],
    [
      'a key of another certificate',
      () => tls('other-key.pem', 'cert.pem'),
      /^hearth: --tls-key and --tls-cert cannot be used together: [^\n]+\n$/,
    ],
    [
      'an authority that is none',
      () => ['--extra-ca', file('text')],
      /^hearth: --extra-ca: \S+\/text is not in PEM\n$/,
    ],
    [
      'a notary that is none',
      () => ['--key-notaries', 'a.test,b c'],
      /^hearth: --key-notaries must be server names[^\n]*\n$/,
    ],
    [
      'neither on nor off',
      () => ['--allow-private-networks', 'yes'],
      /^hearth: --allow-private-networks must be on or off, not 'yes'\n$/,
    ],
  ])('%s', async (_, args, line) => {
    const data = ['--data', file('never')]
    expect(await runLauncher([...data, ...args()])).toEqual({ code: 1, output: expect.stringMatching(line) })
  })

  test('a busy TLS port', async () => {
    const port = await freePort()
    const other = createServer().listen(port, '127.0.0.1')
    const args = ['--data', file('busy'), '--host', '127.0.0.1', '--port', String(await freePort())]
    const { code, output } = await runLauncher([
      ...args,
      ...tls('key.pem', 'cert.pem'),
      '--tls-port',
      String(port),
    ])
    other.close()
    expect([code, output]).toEqual([
      1,
      `hearth: port ${port} on 127.0.0.1 is in use; choose another with --tls-port\n`,
    ])
  })
})

async function json(url: string, agent?: Agent) {
  const [response] = (await once(get(url, agent ? { agent } : {}), 'response')) as [IncomingMessage]
  return JSON.parse(Buffer.concat(await response.toArray()).toString())
}

test('a server answers over TLS, and reaches others as it may', { timeout: 60_000 }, async () => {
  const [port, tlsPort] = [await freePort(), await freePort()]
  const args = ['--data', file('data'), '--host', '127.0.0.1', '--port', String(port), '--key-notaries', '']
  const files = ['--tls-port', String(tlsPort), '--tls-key', file('key.pem'), '--tls-cert', file('cert.pem')]
  const trusting = new Agent({ ca: authority.ca })
  const query = `/_matrix/key/v2/query/${remote.serverName}`
  const keysOf = (document: { server_keys: { server_name: string }[] }) =>
    document.server_keys.map(({ server_name: name }) => name)

  // By variables of the environment.
  process.env.HEARTH_EXTRA_CA = file('ca.pem')
  process.env.HEARTH_ALLOW_PRIVATE_NETWORKS = 'on'
  const name = ['--server-name', `localhost:${tlsPort}`]
  const open = await launch([...args, ...files, ...name])
  delete process.env.HEARTH_EXTRA_CA
  delete process.env.HEARTH_ALLOW_PRIVATE_NETWORKS
  await expect.poll(open.output).toContain(`Other servers: TLS on port ${tlsPort}\n`)
  const tls = `https://localhost:${tlsPort}`
  expect(await json(`${tls}/_matrix/federation/v1/version`, trusting)).toMatchObject({
    server: { name: 'Hearth' },
  })
  expect((await json(`${tls}/_matrix/key/v2/server`, trusting)).server_name).toBe(`localhost:${tlsPort}`)
  expect(keysOf(await json(tls + query, trusting))).toEqual([remote.serverName])
  expect(await open.end('SIGTERM')).toBe(0)

  const closed = await launch([
    '--data',
    file('data-2'),
    ...args.slice(2),
    ...files,
    '--extra-ca',
    file('ca.pem'),
  ])
  const before = remote.requests.length
  expect(keysOf(await json(tls + query, trusting))).toEqual([])
  expect(remote.requests.length).toBe(before)
  expect(await closed.end('SIGTERM')).toBe(0)
  trusting.destroy()
})
