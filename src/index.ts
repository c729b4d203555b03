// Entry of the Worker: HTTP through the app, the queue of transactions to other servers, and the Durable Object classes that the bindings name.

import { createApp } from './app.ts'
import { sendQueued } from './federation/sender/consumer.ts'

export { AppserviceSender } from './appservice/sender/appservice-sender.ts'
export { FederationSender } from './federation/sender/federation-sender.ts'
export { EventFetcher } from './federation/receive/event-fetcher.ts'
export { RemoteJoin } from './federation/remote-join/remote-join.ts'
export { Hub } from './hub/hub.ts'
export { PasswordHasher } from './keys/password-hasher.ts'
export { ServerKeys } from './keys/server-keys.ts'
export { Room } from './room/room.ts'

export default { fetch: createApp().fetch, queue: sendQueued }
