// A Worker that keeps to no limit, for the tests of the guard.

import { DurableObject } from 'cloudflare:workers'
import type { LocalEnv } from '../../../scripts/local-entry.ts'
import { guardObject } from './durable-object.ts'
import { guardWorker } from './worker.ts'

class ProbeRoom extends DurableObject<LocalEnv> {
  constructor(ctx: DurableObjectState, env: LocalEnv) {
    super(ctx, env)
    ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b)')
  }

  write(rows: number): number {
    for (let i = 0; i < rows; i += 1) this.ctx.storage.sql.exec('INSERT INTO t (b) VALUES (?)', i)
    return this.read().length
  }

  read(): unknown[] {
    return this.ctx.storage.sql.exec('SELECT * FROM t').toArray()
  }

  parameters(n: number): unknown[] {
    const marks = Array.from({ length: n }, () => '?').join(',')
    const values = Array.from({ length: n }, (_, i) => i)
    return this.ctx.storage.sql.exec(`SELECT * FROM t WHERE a IN (${marks})`, ...values).toArray()
  }

  row(bytes: number): void {
    this.ctx.storage.sql.exec('INSERT INTO t (b) VALUES (?)', 'x'.repeat(bytes))
  }

  text(bytes: number): string {
    return 'x'.repeat(bytes)
  }

  async keyValue(): Promise<void> {
    await this.ctx.storage.put('key', 'value')
  }

  async arm(): Promise<void> {
    await this.ctx.storage.setAlarm(Date.now() + 86_400_000)
  }
}

export const Room = guardObject(ProbeRoom, 'Room')
export class Hub extends DurableObject {}
export class ServerKeys extends DurableObject {}
export class PasswordHasher extends DurableObject {}
export class FederationSender extends DurableObject {}
export class RemoteJoin extends DurableObject {}

interface ProbeStub {
  [method: string]: (argument: number) => Promise<unknown>
}

export default guardWorker({
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url)
    const n = Number(searchParams.get('n'))
    if (pathname.startsWith('/room/')) {
      const stub = env.ROOM.get(env.ROOM.idFromName('probe')) as unknown as ProbeStub
      return Response.json(await stub[pathname.slice('/room/'.length)]?.(n))
    }
    if (pathname === '/d1') return Response.json(await d1(env.DB, n))
    if (pathname === '/r2') {
      await env.MEDIA.put('key', 'value')
      return new Response(await (await env.MEDIA.get('key'))?.text())
    }
    // Whoever starts it asks for its versions.
    return Response.json({ versions: [] })
  },
})

async function d1(db: D1Database, rows: number): Promise<unknown[]> {
  await db.prepare('CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b)').run()
  const insert = db.prepare('INSERT INTO t (b) VALUES (?)')
  await db.batch(Array.from({ length: rows }, (_, i) => insert.bind(i)))
  const first = await db.prepare('SELECT b FROM t WHERE a = ?').bind(1).first('b')
  const raw = await db.prepare('INSERT INTO t (b) VALUES (?) RETURNING a, b').bind('x').raw()
  return [first, raw]
}
