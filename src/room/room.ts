// The Room: one Durable Object a room, the only writer of it and the source of truth for it.
// The road of an event: `send-event.ts` (local) or `receive-pdu.ts` (remote) → `append.ts`, the only place that
// inserts → `fan-out.ts`, which tells the Hub shards before the client gets its answer.
// The class is only the RPC surface: every method hands over to a function of the file that has its name.

import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../env.ts'
import type { EventId } from '../matrix/event.ts'
import { migrate } from '../storage/durable-migrations.ts'
import { onAlarm } from './alarm.ts'
import { ensureSigner, openRoom, type RoomContext } from './context.ts'
import { createRoom, type CreateRoomRequest } from './create-room.ts'
import { tellHubs } from './fan-out.ts'
import { roomMigrations } from './schema.ts'
import { sendEvent, type SendRequest } from './send-event.ts'

export class Room extends DurableObject<Env> {
  readonly #room: RoomContext

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    migrate(ctx.storage, roomMigrations)
    this.#room = openRoom(ctx, env)
  }

  override alarm(): Promise<void> {
    return onAlarm(this.#room)
  }

  async createRoom(request: CreateRoomRequest): Promise<void> {
    createRoom(this.#room, await ensureSigner(this.#room), request)
    await tellHubs(this.#room)
  }

  async sendEvent(request: SendRequest): Promise<EventId> {
    const eventId = sendEvent(this.#room, await ensureSigner(this.#room), request)
    await tellHubs(this.#room)
    return eventId
  }
}
