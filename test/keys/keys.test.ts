// The objects that hold the server's keys and hash passwords, in workerd.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import nacl from 'tweetnacl'
import type { ServerKeys } from '../../src/keys/server-keys.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let dataDir: string
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'hearth-keys-'))
  server = await startServer({ dataDir })
})
afterAll(async () => {
  await server.stop()
  await rm(dataDir, { recursive: true, force: true })
})

async function serverKeys(): Promise<DurableObjectStub<ServerKeys>> {
  const namespace = await server.mf.getDurableObjectNamespace('SERVER_KEYS')
  return namespace.get(namespace.idFromName('server-keys')) as unknown as DurableObjectStub<ServerKeys>
}

describe('the signing key', () => {
  it('is made once, and publishes the public half of its seed', async () => {
    const keys = await serverKeys()
    const key = { ...(await keys.signingKey()) }
    expect(key).toMatchObject({ keyId: expect.stringMatching(/^ed25519:[0-9a-f]{8}$/), version: 1 })
    expect(await keys.publicKeys()).toEqual([
      {
        keyId: key.keyId,
        publicKey: nacl.sign.keyPair.fromSeed(key.seed).publicKey,
        signsFrom: 0,
        expiredTs: null,
      },
    ])
    await server.stop()
    server = await startServer({ dataDir })
    expect(await (await serverKeys()).signingKey()).toEqual(key)
  })
})

describe('the password hasher', () => {
  it('answers as many as may wait and refuses the rest', async () => {
    const login = (user: string) =>
      server.request('POST', '/_matrix/client/v3/login', {
        body: { type: 'm.login.password', user, password: 'wrong' },
      })
    const answers = await Promise.all(Array.from({ length: 60 }, (_, n) => login(`nobody${n}`)))
    const refused = answers.filter(({ status }) => status === 429)
    // Its error reaches the client through two objects with all it says.
    for (const { body, headers } of refused) {
      expect(body).toEqual({ errcode: 'M_LIMIT_EXCEEDED', error: 'Too many requests', retry_after_ms: 5000 })
      expect(headers.get('Retry-After')).toBe('5')
    }
    expect(refused.length).toBeGreaterThan(0)
    const answered = answers.filter(({ status }) => status === 403)
    expect(answered.length).toBeGreaterThanOrEqual(32)
    expect(answered.length + refused.length).toBe(60)
    // It goes on afterwards.
    expect((await login('nobody')).status).toBe(403)
  })
})
