// What is agreed to stays what it was agreed to for.

import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Env } from '../../src/env.ts'
import {
  findInteractiveAuth,
  keepInteractiveAuth,
  openInteractiveAuth,
  rebindInteractiveAuth,
} from '../../src/storage/interactive-auth-sessions.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let env: Env
beforeAll(async () => {
  server = await startServer()
  env = { DB: await server.mf.getD1Database('DB') } as unknown as Env
})
afterAll(() => server.stop())

const open = () =>
  openInteractiveAuth(
    env,
    {
      operation: 'POST /register',
      bodyHash: 'first',
      userId: null,
      offer: { flows: [['m.login.terms', 'm.login.dummy']], params: {} },
    },
    60_000,
  )

it('a session without a completed stage is bound to another body', async () => {
  const { id } = await open()
  expect(await rebindInteractiveAuth(env, id, 'second')).toBe(true)
  expect((await findInteractiveAuth(env, id))?.bodyHash).toBe('second')
})

// Its request may have looked at the session before the stage was completed on its page.
it('a session is not when a stage was completed meanwhile', async () => {
  const session = await open()
  await keepInteractiveAuth(env, { ...session, completed: ['m.login.terms'] })
  expect(await rebindInteractiveAuth(env, session.id, 'second')).toBe(false)
  expect((await findInteractiveAuth(env, session.id))?.bodyHash).toBe('first')
})
