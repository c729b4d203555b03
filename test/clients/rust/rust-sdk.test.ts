// Two users of the crates matrix-sdk and matrix-sdk-ui, the engine of the newest mobile clients, over HTTP on the server that
// `npm start` starts. The program beside this file tells their story; scripts/rust-client.sh builds it.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { startServer, type Server } from '../launcher.ts'

const keptLines = 300
const program = process.env.HEARTH_RUST_CLIENT

let server: Server

before(async () => {
  server = await startServer()
})
after(async () => {
  await server?.remove()
})

void test(
  'mobile users log in, list rooms, talk in secret, recover their keys and come back',
  { timeout: 900_000 },
  async ({ signal }) => {
    assert(program !== undefined, 'no HEARTH_RUST_CLIENT: run it with npm run test:rust-client')
    const accounts = [await register('alice'), await register('bob')].flat()
    const { code, log } = await run(program, [server.url, ...accounts], signal)
    assert.equal(code, 0, `see above; it logged:\n${log}`)
  },
)

/** An account without a device. Answers with its name and password. */
async function register(username: string): Promise<[string, string]> {
  const password = `correct horse of ${username}`
  const answer = await fetch(`${server.url}/_matrix/client/v3/register`, {
    method: 'POST',
    body: JSON.stringify({ username, password, inhibit_login: true, auth: { type: 'm.login.dummy' } }),
  })
  assert.equal(answer.status, 200, await answer.text())
  return [username, password]
}

/** Runs the program, prints its steps, restarts the server where it asks, and keeps the end of what it logs. */
async function run(
  path: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<{ code: unknown; log: string }> {
  const child = spawn(path, args, { signal, env: { RUST_LOG: 'info', ...process.env } })
  const closed = once(child, 'close') as Promise<unknown[]>
  const log: string[] = []
  createInterface({ input: child.stderr }).on('line', (line) => {
    log.push(line)
    if (log.length > keptLines) log.shift()
  })
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'please restart the server') {
      await server.kill()
      await server.restart()
      child.stdin.write('\n')
    } else {
      console.log(line)
    }
  }
  const [code] = await closed
  return { code, log: log.join('\n') }
}
