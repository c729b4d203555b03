// The AppserviceSender: a Durable Object an application service, which brings it the events it is interested in, in the order
// in which rooms tell of them and at least once, and with them what is ephemeral. The road of an event: a room tells it
// (`tell.ts`) → it waits on disk → `flight.ts` makes a transaction → `work.ts` sends it until it is acknowledged.
// The class is only the RPC surface; the functions know neither the platform nor the network.
// Specification: application service API, "Pushing events", "Pushing ephemeral data".

import { DurableObject } from 'cloudflare:workers'
import { config } from '../../config.ts'
import { type Env, roomStub } from '../../env.ts'
import type { RoomId } from '../../matrix/event.ts'
import { migrate } from '../../storage/durable-migrations.ts'
import { looksAfterUser } from '../namespaces.ts'
import type { Appservice } from '../registration.ts'
import { appserviceRequest } from '../request.ts'
import type { Sender, SenderDeps } from './context.ts'
import type { PresenceEdu, ReceiptEdu, TypingEdu } from './edus.ts'
import { dropWaiting } from './flight.ts'
import { openSender } from './open.ts'
import { appserviceSenderMigrations } from './schema.ts'
import { type ElsewhereEvent, type RoomNews, tell, tellElsewhere } from './tell.ts'
import { tellPresence, tellRoomEdu } from './tell-edu.ts'
import { beginInvocation, onAlarm, wake, whenIdle } from './work.ts'

// For a whole transaction: some do all their work before they answer.
const answerTimeoutMs = 60_000
// How late at most what a crash has interrupted goes on.
const longestLookAfterMs = 30_000

export class AppserviceSender extends DurableObject<Env> {
  #pendingAlarm: number | undefined
  #opened: Sender | undefined

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    migrate(ctx.storage, appserviceSenderMigrations)
    void ctx.blockConcurrencyWhile(async () => {
      this.#pendingAlarm = (await ctx.storage.getAlarm()) ?? undefined
    })
  }

  override async alarm(): Promise<void> {
    this.#pendingAlarm = undefined
    const appservice = this.#appservice()
    if (appservice?.url === undefined) return dropWaiting(this.ctx.storage)
    this.#opened ??= openSender(senderDeps(this.ctx, this.env, appservice), undefined)
    await onAlarm(this.#opened)
  }

  /** Takes over events of a room, in its order: they are on disk when this returns. */
  tell(roomId: RoomId, news: RoomNews): void {
    this.#work((sender) => tell(sender, roomId, news))
  }

  /** Takes over an event of a user's membership in a room that lives on other servers alone. */
  tellElsewhere(event: ElsewhereEvent): void {
    this.#work((sender) => tellElsewhere(sender, event))
  }

  /** Takes over something that happened in a room. Resolves to whether the application service is interested in the room. */
  async tellRoomEdu(edu: TypingEdu | ReceiptEdu): Promise<boolean> {
    return await this.#work(async (sender) => await tellRoomEdu(sender, edu))
  }

  /** Takes over who users are shown to be. */
  tellPresence(updates: readonly PresenceEdu[]): void {
    this.#work((sender) => tellPresence(sender, updates))
  }

  /** Tries now what has failed: the application service was heard of. */
  wake(): void {
    this.#work(wake)
  }

  /** The application service that this object is of, undefined where it is registered no more. */
  #appservice(): Appservice | undefined {
    return config(this.env).appservices.find(({ id }) =>
      this.env.APPSERVICE_SENDER.idFromName(id).equals(this.ctx.id),
    )
  }

  #work<T>(run: (sender: Sender) => T): T {
    const appservice = this.#appservice()
    // A version of this server that does not know it, yet or any more: who tells tries again.
    if (appservice?.url === undefined) throw new Error('no such application service')
    this.#opened ??= openSender(senderDeps(this.ctx, this.env, appservice), this.#pendingAlarm)
    beginInvocation(this.#opened)
    const result = run(this.#opened)
    this.ctx.waitUntil(whenIdle(this.#opened))
    return result
  }
}

function senderDeps({ storage }: DurableObjectState, env: Env, appservice: Appservice): SenderDeps {
  return {
    sql: storage.sql,
    transact: (work) => storage.transactionSync(work),
    appservice,
    looksAfter: (userId) => looksAfterUser(env, appservice, userId),
    now: Date.now,
    random: Math.random,
    later: (ms, run) => void setTimeout(run, ms),
    setAlarm: (time) => void storage.setAlarm(time),
    send: async (txnId, body) => {
      const path = `/_matrix/app/v1/transactions/${encodeURIComponent(txnId)}`
      const call = { method: 'PUT', path, body, timeoutMs: answerTimeoutMs } as const
      return (await appserviceRequest(appservice, call)).status
    },
    isInterested: async (roomId) => await roomStub(env, roomId).interestsAppservice(appservice.id),
    incarnation: crypto.randomUUID(),
    lookAfterMs: Math.min(config(env).roomAlarmMs, longestLookAfterMs),
  }
}
