// Registrations of application services as operators have them: files for the launcher, secrets for a deployed Worker.

import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readRegistrations, registrationVars } from '../../scripts/appservices.ts'
import { projectRoot } from '../../scripts/bundle.ts'
import { freePort, killLaunched, launch, runLauncher } from '../support/launcher.ts'
import { httpClient } from '../support/server.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hearth-appservices-'))
})
afterAll(async () => {
  killLaunched()
  await rm(folder, { recursive: true, force: true })
})

const registration = (id: string, more = '') => `
# As bridges write them.
id: ${id}
url: http://127.0.0.1:1
as_token: "as_secret_of_${id}"
hs_token: hs_secret_of_${id}
sender_localpart: _${id}_bot
rate_limited: false
namespaces:
  users:
    - exclusive: true
      regex: '@_${id}_.*:example\\.org'
  aliases: []
  rooms: []
${more}`

function file(name: string, content: string): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

const read = (...paths: string[]) => readRegistrations(paths, 'example.org')

describe('registration files', () => {
  it('are YAML or JSON, alone or in a folder', () => {
    const inFolder = join(folder, 'several')
    mkdirSync(inFolder)
    writeFileSync(join(inFolder, 'b.yml'), registration('b'))
    writeFileSync(join(inFolder, 'README.md'), 'no registration')
    writeFileSync(
      join(inFolder, 'a.json'),
      JSON.stringify({
        ...JSON.parse(read(file('c.yaml', registration('c')))[0]?.json ?? ''),
        id: 'a',
        as_token: 'a',
        sender_localpart: 'a',
      }),
    )
    const files = read(inFolder, join(folder, 'c.yaml'))
    expect(files.map(({ id }) => id)).toEqual(['a', 'b', 'c'])
    const vars = registrationVars(files)
    expect(Object.keys(vars)).toEqual(['APPSERVICE_1', 'APPSERVICE_2', 'APPSERVICE_3'])
    expect(JSON.parse(vars['APPSERVICE_2'] ?? '')).toMatchObject({
      id: 'b',
      as_token: 'as_secret_of_b',
      rate_limited: false,
      namespaces: { users: [{ exclusive: true, regex: '@_b_.*:example\\.org' }] },
    })
    mkdirSync(join(folder, 'empty'))
    expect(read(join(folder, 'empty'))).toEqual([])
  })

  it.each([
    ['a file that is not there', 'missing.yaml', undefined, /^cannot read .*missing\.yaml: ENOENT$/],
    ['no YAML', 'broken.yaml', 'id: [\nas_token: secret', /^.*broken\.yaml: [^\n]+$/],
    ['no object', 'text.yaml', 'text', /^.*text\.yaml: is not a JSON object$/],
    [
      'a field that is missing',
      'none.yaml',
      'id: x\nas_token: secret',
      /^.*none\.yaml: namespaces must be an object$/,
    ],
    [
      'a field of the wrong kind',
      'kind.yaml',
      registration('k', 'protocols: irc'),
      /^.*kind\.yaml: protocols must be/,
    ],
    [
      'a bomb',
      'bomb.yaml',
      `a: &a [x]\nb: &b [${'*a,'.repeat(200)}*a]\nc: [${'*b,'.repeat(200)}*b]`,
      /^.*bomb\.yaml: /,
    ],
  ])(
    'of which one is %s are refused, by its name and without what is secret',
    (_, name, content, message) => {
      const path = content === undefined ? join(folder, name) : file(name, content)
      let refused = ''
      try {
        read(path)
      } catch (error) {
        refused = error instanceof Error ? error.message : ''
      }
      expect(refused).toMatch(message)
      expect(refused).not.toContain('secret')
    },
  )

  it('may not repeat each other', () => {
    const one = file('one.yaml', registration('one'))
    const again = file('again.yaml', registration('one'))
    expect(() => read(one, again)).toThrow(/again\.yaml: id and as_token must differ/)
  })
})

describe('the launcher', () => {
  it('refuses a registration that makes no sense in one line', async () => {
    const path = file('wrong.yaml', registration('w').replace('exclusive: true', 'exclusive: maybe'))
    const args = [
      '--data',
      join(folder, 'data-wrong'),
      '--port',
      String(await freePort()),
      '--appservices',
      path,
    ]
    expect(await runLauncher(args)).toEqual({
      code: 1,
      output: expect.stringMatching(
        /^hearth: [^\n]*wrong\.yaml: namespaces\.users\[0\]\.exclusive must be true or false\n$/,
      ),
    })
  })

  it('starts a server that knows its application services', async () => {
    file('first.yaml', registration('first'))
    file('second.yaml', registration('second'))
    const files = ['first.yaml', 'second.yaml'].map((name) => join(folder, name))
    const port = String(await freePort())
    const server = await launch([
      '--data',
      join(folder, 'data'),
      '--port',
      port,
      '--appservices',
      files.join(', '),
    ])
    for (const id of ['first', 'second']) {
      const path = `/_matrix/client/v1/appservice/${id}/ping`
      const answer = await httpClient(server.url).request('POST', path, {
        token: `as_secret_of_${id}`,
        body: {},
      })
      // Nothing listens there.
      expect(answer).toMatchObject({ status: 502, body: { errcode: 'M_CONNECTION_FAILED' } })
    }
    expect(server.output()).toContain('\nApplication services: first, second\n')
    expect(server.output()).not.toContain('secret')
    await server.end('SIGTERM')
  })
})

describe('npm run appservice', () => {
  const run = (...args: string[]) => {
    const script = join(projectRoot, 'scripts/appservice.ts')
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' })
    return { status, stdout, stderr }
  }

  it('checks registrations and names the secrets that they become', () => {
    const path = file('named.yaml', registration('irc-2').replaceAll('_irc-2_', '_irc2_'))
    const { status, stdout } = run('--server-name', 'example.org', path)
    expect(status).toBe(0)
    expect(stdout).toMatch(/irc-2, \d+ bytes, for the secret APPSERVICE_IRC_2\n/)
    expect(stdout).not.toContain('as_secret')
  })

  it('refuses those that are too long for a secret, lead to the same one, or make no sense', () => {
    const long = file('long.yaml', registration('long', `protocols: [${'x'.repeat(6000)}]`))
    expect(run(long)).toMatchObject({ status: 1, stderr: expect.stringContaining('longer than a secret') })
    const a = file('a-b.yaml', registration('a-b'))
    const b = file('a_b.yaml', registration('a_b'))
    expect(run(a, b)).toMatchObject({ status: 1, stderr: expect.stringContaining('the same secret') })
    expect(run(file('bad.yaml', 'x: y'))).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('bad.yaml: '),
    })
    expect(run('--what')).toMatchObject({ status: 1, stdout: '' })
  })

  it('makes registrations that the launcher takes, each with tokens of its own', () => {
    const make = () =>
      run('--new', 'irc.net', '--url', 'http://127.0.0.1:9', '--server-name', 'example.org').stdout
    const path = file('new.yaml', make())
    const [made] = read(path)
    expect(JSON.parse(made?.json ?? '')).toMatchObject({
      id: 'irc.net',
      url: 'http://127.0.0.1:9',
      as_token: expect.stringMatching(/^[0-9a-f]{64}$/),
      sender_localpart: '_irc.net_bot',
      namespaces: { users: [{ exclusive: true, regex: '@_irc\\.net_.*:example\\.org' }] },
    })
    expect(make()).not.toBe(make())
    expect(run('--new', 'irc')).toMatchObject({ status: 1, stderr: expect.stringContaining('--url') })
  })
})
