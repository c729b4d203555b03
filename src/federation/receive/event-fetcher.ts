// The EventFetcher: one Durable Object a room, which asks other servers for what waiting events of the room build upon, and the
// room's policy server about them and about what the room sends by itself. One run at a time, whoever sends how much; what a
// run leaves over stays in the room's table, whose alarm calls again. It keeps nothing of its own but the id of its room.

import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../../env.ts'
import type { RoomId } from '../../matrix/event.ts'
import { migrate } from '../../storage/durable-migrations.ts'
import { sendOwnEvents } from '../send-own-events.ts'
import { completePending } from './complete-pending.ts'

const migrations = [{ id: '0001-room', sql: 'CREATE TABLE room (room_id TEXT PRIMARY KEY) WITHOUT ROWID' }]

export class EventFetcher extends DurableObject<Env> {
  #last: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined

  /** Fetches what is due now. Resolves when that has been tried. */
  async complete(roomId: RoomId): Promise<void> {
    // A run that is under way may have looked before the last events came: all who call meanwhile share the one after it.
    this.#next ??= this.#runAfter(this.#last, roomId)
    this.#last = this.#next.catch(() => undefined)
    await this.#next
  }

  async #runAfter(last: Promise<void>, roomId: RoomId): Promise<void> {
    await last
    this.#next = undefined
    await completePending(this.env, roomId)
  }

  /** Has `complete` run soon, for a caller that cannot wait. */
  async resume(roomId: RoomId): Promise<void> {
    const { storage } = this.ctx
    migrate(storage, migrations)
    storage.sql.exec('INSERT OR IGNORE INTO room VALUES (?)', roomId)
    await storage.setAlarm(Date.now())
  }

  override async alarm(): Promise<void> {
    // Alarms do not tell whose they are. Written by `resume` alone.
    const { room_id: roomId } = this.ctx.storage.sql
      .exec<{ room_id: RoomId }>('SELECT room_id FROM room')
      .one()
    await this.complete(roomId)
    await sendOwnEvents(this.env, roomId)
  }
}
