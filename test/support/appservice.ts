// An application service on 127.0.0.1 that keeps what it is asked and told, and answers as a test wants.

import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { documentsAreHere } from '../contract/documents.ts'
import { record } from '../contract/recorder.ts'

/** A request as it came. */
interface AppserviceRequest {
  readonly method: string
  /** Percent-decoded, without the query. */
  readonly path: string
  readonly query: Record<string, string>
  readonly headers: IncomingHttpHeaders
  /** The body as text. */
  readonly text: string
  /** What it was answered; 0 for no answer. */
  readonly status: number
}

interface AppserviceReply {
  readonly status: number
  readonly body?: JsonValue
}

/** A transaction as it came, accepted or not. */
interface ReceivedTransaction {
  readonly txnId: string
  readonly text: string
  readonly status: number
  readonly events: JsonObject[]
  readonly ephemeral: JsonObject[]
}

type Told = Omit<AppserviceRequest, 'status'>

type Reply = (
  request: Told,
) => AppserviceReply | 'hang' | 'drop' | undefined | Promise<AppserviceReply | 'hang' | 'drop' | undefined>

const transactionPath = /^(?:\/_matrix\/app\/v1)?\/transactions\/([^/]+)$/

export type TestAppservice = Awaited<ReturnType<typeof startAppservice>>

/** Starts one. Its tokens are `as_token_of_<id>` and `hs_token_of_<id>`. */
export async function startAppservice(id = 'bridge') {
  const requests: AppserviceRequest[] = []
  const tokens = { asToken: `as_token_of_${id}`, hsToken: `hs_token_of_${id}` }
  const appservice = {
    id,
    ...tokens,
    url: '',
    /** Every request so far that had the right token. */
    requests,
    /**
     * Answers a request in place of the usual: `{}` for transactions and pings, 404 for all else. `hang`: never, `drop`: the
     * connection ends. May be changed at any time.
     */
    reply: (() => undefined) as Reply,
    /** The registration, as the variable of it has it. */
    registration: (fields: JsonObject = {}): JsonObject => ({
      id,
      url: appservice.url,
      as_token: tokens.asToken,
      hs_token: tokens.hsToken,
      sender_localpart: `_${id}_bot`,
      namespaces: { users: [{ exclusive: true, regex: `@_${id}_.*` }] },
      ...fields,
    }),
    /** The variable that registers it. */
    vars: (fields: JsonObject = {}): Record<string, string> => ({
      [`APPSERVICE_${id.toUpperCase()}`]: JSON.stringify(appservice.registration(fields)),
    }),
    /** Every transaction that came, also those that were not accepted. */
    transactions: () => requests.flatMap(transactionIn),
    /** The events of the transactions that were accepted, those of a repeated transaction once. */
    events: () => accepted(requests).flatMap(({ events }) => events),
    ephemeral: () => accepted(requests).flatMap(({ ephemeral }) => ephemeral),
    /** What `find` finds, once it is something. Rejects after some seconds. */
    async until<T>(find: () => T | undefined | false, patience = 15_000): Promise<T> {
      const deadline = Date.now() + patience
      for (;;) {
        const found = find()
        if (found !== undefined && found !== false) return found
        if (Date.now() > deadline) {
          throw new Error(`the application service has ${JSON.stringify(requests, null, 1)}`)
        }
        await sleep(20)
      }
    },
    /** Refuses connections from now on. */
    stop: async () => {
      server.closeAllConnections()
      if (server.listening) await new Promise((closed) => server.close(closed))
    },
    /** Takes connections again, on the same port. */
    start: async () => {
      await once(server.listen(port, '127.0.0.1'), 'listening')
    },
  }
  const server = createServer(async (request, response) => {
    const body: Buffer[] = await request.toArray()
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://appservice')
    const told = {
      method: request.method ?? '',
      path: decodeURIComponent(pathname),
      query: Object.fromEntries(searchParams),
      headers: request.headers,
      text: Buffer.concat(body).toString(),
    }
    const isAllowed = request.headers.authorization === `Bearer ${tokens.hsToken}`
    const reply = isAllowed ? ((await appservice.reply(told)) ?? usual(told)) : forbidden
    const status = typeof reply === 'string' ? 0 : reply.status
    if (isAllowed) requests.push({ ...told, status })
    if (reply === 'hang') return
    if (reply === 'drop') {
      request.socket.destroy()
      return
    }
    if (documentsAreHere) watch(told, request.url ?? '/', reply.status)
    response.writeHead(reply.status, { 'Content-Type': 'application/json' })
    response.end(JSON.stringify(reply.body ?? {}))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  appservice.url = `http://127.0.0.1:${port}`
  return appservice
}

// What servers of ours ask application services must be as the documents have it.
function watch({ method, text, headers }: Told, target: string, status: number): void {
  record({
    method,
    target,
    requestHeaders: new Headers({ 'Content-Type': headers['content-type'] ?? '' }),
    requestBody: text,
    status,
    headers: new Headers({ 'Content-Type': 'application/json' }),
    body: undefined,
    askedByUs: true,
    answeredByUs: false,
  })
}

const forbidden: AppserviceReply = { status: 403, body: { errcode: 'M_FORBIDDEN' } }

function usual({ method, path }: Told): AppserviceReply {
  if (method === 'PUT' && path.startsWith('/_matrix/app/v1/transactions/')) return { status: 200 }
  if (method === 'POST' && path === '/_matrix/app/v1/ping') return { status: 200 }
  return { status: 404, body: { errcode: 'M_NOT_FOUND' } }
}

function transactionIn({ method, path, text, status }: AppserviceRequest): ReceivedTransaction[] {
  const [, txnId] = transactionPath.exec(path) ?? []
  if (method !== 'PUT' || txnId === undefined) return []
  const { events, ephemeral = [] }: Pick<ReceivedTransaction, 'events'> & { ephemeral?: JsonObject[] } =
    JSON.parse(text)
  return [{ txnId, text, status, events, ephemeral }]
}

function accepted(requests: readonly AppserviceRequest[]): ReceivedTransaction[] {
  const done = requests.flatMap(transactionIn).filter(({ status }) => status === 200)
  return [...new Map(done.toReversed().map((one) => [one.txnId, one])).values()].toReversed()
}
