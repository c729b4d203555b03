// The FederationSender: one Durable Object that brings the events of our users to other servers, in order and at least
// once. The road of an event: a room tells it (`tell.ts`) → `outbox.ts` writes it down → `work.ts` serves each destination
// in its turn, with transactions from `transaction.ts` → `back-off.ts` and `catch-up.ts` where a destination is away.
// The class is only the RPC surface; the functions know neither the platform nor the network.

import { DurableObject } from 'cloudflare:workers'
import { config } from '../../config.ts'
import { roomStub, type Env } from '../../env.ts'
import type { RoomId, ServerName } from '../../matrix/event.ts'
import { migrate } from '../../storage/durable-migrations.ts'
import { onAlarm } from './alarm.ts'
import type { Sender, SenderDeps } from './context.ts'
import { type DestinationStanding, failingDestinations, listDestinations } from './destinations.ts'
import type { KeptEdu, PresenceEdu, RoomEdu } from './edus.ts'
import { tellKept } from './tell-kept.ts'
import { openSender } from './load.ts'
import { senderMigrations } from './schema.ts'
import { sendTransaction } from './send-transaction.ts'
import { pull, report, type QueuedOutcome, type QueuedTransaction } from './queued.ts'
import { tell, tellEdu, tellEduTo, type ToldEvent } from './tell.ts'
import { wake } from './wake.ts'
import { beginInvocation, whenIdle } from './work.ts'

export class FederationSender extends DurableObject<Env> {
  #pendingAlarm: number | undefined
  #opened: Sender | undefined

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    migrate(ctx.storage, senderMigrations)
    void ctx.blockConcurrencyWhile(async () => {
      this.#pendingAlarm = (await ctx.storage.getAlarm()) ?? undefined
    })
  }

  override async alarm(): Promise<void> {
    this.#opened ??= openSender(senderDeps(this.ctx, this.env), 'now')
    await onAlarm(this.#opened)
  }

  /** Takes over events of a room, in its order: they are on disk when this returns. */
  tell(roomId: RoomId, events: readonly ToldEvent[]): void {
    this.#work((sender) => tell(sender, roomId, events))
  }

  /** Takes over something of a local user for the other servers of a room. Resolves to whether there are any. */
  async tellEdu(edu: RoomEdu): Promise<boolean> {
    return await this.#work(async (sender) => await tellEdu(sender, edu))
  }

  /** Takes over who a local user is shown to be, for some servers. */
  tellPresence(servers: readonly ServerName[], edu: PresenceEdu): void {
    this.#work((sender) => tellEduTo(sender, servers, edu))
  }

  /** Takes over changes of keys and devices, and messages to devices, for some servers, in order. */
  tellKept(servers: readonly ServerName[], edus: readonly KeptEdu[]): void {
    this.#work((sender) => tellKept(sender, servers, edus))
  }

  /** What a consumer of the queue is to send; nothing for a message that came before. */
  async pull(lease: number): Promise<QueuedTransaction[]> {
    return await this.#work(async (sender) => await pull(sender, lease))
  }

  /** Takes what became of it. */
  report(lease: number, outcomes: readonly QueuedOutcome[]): void {
    this.#work((sender) => report(sender, lease, outcomes))
  }

  /** Tries a destination now that was heard of, if it is backing off. */
  wake(destination: ServerName): void {
    this.#work((sender) => wake(sender, destination))
  }

  /** The destinations for which `wake` does something. */
  failingDestinations(): ServerName[] {
    return this.#work(failingDestinations)
  }

  /** How the destinations fare, by name. */
  listDestinations(): DestinationStanding[] {
    return this.#work(listDestinations)
  }

  #work<T>(run: (sender: Sender) => T): T {
    this.#opened ??= openSender(senderDeps(this.ctx, this.env), this.#pendingAlarm)
    beginInvocation(this.#opened)
    const result = run(this.#opened)
    this.ctx.waitUntil(whenIdle(this.#opened))
    return result
  }
}

function senderDeps({ storage }: DurableObjectState, env: Env): SenderDeps {
  return {
    sql: storage.sql,
    transact: (work) => storage.transactionSync(work),
    serverName: config(env).serverName,
    now: Date.now,
    random: Math.random,
    later: (ms, run) => void setTimeout(run, ms),
    setAlarm: (time) => void storage.setAlarm(time),
    send: (destination, txnId, content) => sendTransaction(env, destination, txnId, content),
    rooms: {
      pduTexts: async (roomId, eventIds) => await roomStub(env, roomId).pduTexts(eventIds),
      newestFor: async (roomId, serverName, from) => await roomStub(env, roomId).newestFor(serverName, from),
      otherServers: async (roomId) => {
        const servers = await roomStub(env, roomId).joinedServerNames()
        return servers.filter((name) => name !== config(env).serverName)
      },
    },
    connections: config(env).senderConnections,
    enqueue: async (messages) => {
      await env.FEDERATION_QUEUE.sendBatch(messages.map((body) => ({ body })))
    },
    queueFrom: config(env).senderQueueFrom,
    quickRetriesMs: [1000, 5000],
    firstBackOffMs: config(env).senderBackOffMs,
  }
}
