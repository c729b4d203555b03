import { readFileSync, statSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort, killLaunched, launch, runLauncher } from '../support/launcher.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hearth-start-'))
})
afterAll(async () => {
  killLaunched()
  await rm(folder, { recursive: true, force: true })
})

describe('what is wrong is said in one line, with exit status 1', () => {
  test.each([
    ['an unknown option', ['--prot', '1'], /^hearth: Unknown option '--prot'[^\n]*\n$/],
    [
      'a port that is no number',
      ['--port', 'x'],
      /^hearth: --port must be a number from 1 to 65535, not 'x'\n$/,
    ],
    [
      'a server name with a space',
      ['--server-name', 'a b'],
      /^hearth: --server-name must be a server name[^\n]*\n$/,
    ],
    [
      'an unknown room version',
      ['--default-room-version', '0'],
      /^hearth: --default-room-version must [^\n]*\n$/,
    ],
    ['a data folder that is a file', ['--data', 'package.json'], /^hearth: cannot write to [^\n]*\n$/],
    ['a data folder that cannot be made', ['--data', '/proc/hearth'], /^hearth: cannot write to [^\n]*\n$/],
  ])('%s', async (_, args, line) => {
    expect(await runLauncher(args)).toEqual({ code: 1, output: expect.stringMatching(line) })
  })

  test('a busy port', async () => {
    const port = await freePort()
    const other = createServer().listen(port, '127.0.0.1')
    const args = ['--data', join(folder, 'busy'), '--host', '127.0.0.1', '--port', String(port)]
    expect(await runLauncher(args)).toEqual({
      code: 1,
      output: `hearth: port ${port} on 127.0.0.1 is in use; choose another with --port\n`,
    })
    other.close()
  })
})

test('--help lists every option with its variable', async () => {
  const { code, output } = await runLauncher(['--help'])
  expect(code).toBe(0)
  expect(output).toContain('--server-name NAME')
  expect(output).toContain('HEARTH_SERVER_NAME')
})

test('a server keeps its name and token, survives kills, and ends cleanly', { timeout: 60_000 }, async () => {
  const data = join(folder, 'life')
  const port = String(await freePort())
  const args = ['--data', data, '--host', '127.0.0.1', '--port', port]

  const first = await launch([...args, '--server-name', 'life.test'])
  expect(first.url).toBe(`http://127.0.0.1:${port}`)
  expect(first.output()).toContain('Server name: life.test ')
  const token = readFileSync(join(data, 'first-user-token'), 'utf8').trim()
  expect(first.output()).toContain(`the first user registers with the token ${token} `)
  expect(statSync(join(data, 'first-user-token')).mode & 0o777).toBe(0o600)
  expect(await runLauncher([...args, '--port', String(await freePort())])).toEqual({
    code: 1,
    output: `hearth: another server uses ${data}\n`,
  })
  // Killed together with workerd.
  await first.end('SIGKILL', 'group')

  const second = await launch(args)
  expect(second.output()).toContain('Server name: life.test ')
  expect(second.output()).not.toContain(token)
  // Killed without its workerd, which must not stay behind: the next start needs its port and its data.
  await second.end('SIGKILL', 'launcher')

  expect(await runLauncher([...args, '--server-name', 'other.test'])).toEqual({
    code: 1,
    output: `hearth: ${data} belongs to the server 'life.test', not 'other.test'; take another --data folder\n`,
  })

  const third = await launch(args)
  const response = await fetch(`${third.url}/_matrix/client/versions`)
  expect(response.status).toBe(200)
  expect(await third.end('SIGTERM')).toBe(0)
})
