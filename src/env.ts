// The bindings of the Worker, as wrangler.toml declares them, and one typed accessor per Durable Object.

import type { AppserviceSender } from './appservice/sender/appservice-sender.ts'
import type { QueuedWork } from './federation/sender/context.ts'
import type { FederationSender } from './federation/sender/federation-sender.ts'
import type { EventFetcher } from './federation/receive/event-fetcher.ts'
import type { RemoteJoin } from './federation/remote-join/remote-join.ts'
import type { Hub } from './hub/hub.ts'
import type { PasswordHasher } from './keys/password-hasher.ts'
import type { ServerKeys } from './keys/server-keys.ts'
import type { RoomId } from './matrix/event.ts'
import type { Room } from './room/room.ts'

export interface Env {
  readonly DB: D1Database
  readonly MEDIA: R2Bucket
  readonly ROOM: DurableObjectNamespace<Room>
  readonly HUB: DurableObjectNamespace<Hub>
  readonly SERVER_KEYS: DurableObjectNamespace<ServerKeys>
  readonly PASSWORD_HASHER: DurableObjectNamespace<PasswordHasher>
  readonly FEDERATION_SENDER: DurableObjectNamespace<FederationSender>
  readonly APPSERVICE_SENDER: DurableObjectNamespace<AppserviceSender>
  readonly REMOTE_JOIN: DurableObjectNamespace<RemoteJoin>
  readonly FEDERATION_QUEUE: Queue<QueuedWork>
  readonly EVENT_FETCHER: DurableObjectNamespace<EventFetcher>
  readonly LOGIN_LIMIT: RateLimit
  readonly REGISTER_LIMIT: RateLimit
  readonly SEND_LIMIT: RateLimit
  readonly FEDERATION_LIMIT: RateLimit
  readonly PREVIEW_LIMIT: RateLimit
  readonly SERVER_NAME: string
  readonly REGISTRATION: string
  readonly RATE_LIMITS: string
  readonly DEFAULT_ROOM_VERSION: string
  readonly HUB_SHARDS: string
  /** The largest upload in bytes. */
  readonly MAX_UPLOAD_SIZE: string
  /** How many bytes of media of other servers are kept. */
  readonly REMOTE_MEDIA_CACHE_SIZE: string
  /** The largest image in pixels that thumbnails are made of. */
  readonly MAX_THUMBNAIL_PIXELS: string
  /** `on` serves media also on the deprecated endpoints without authentication. */
  readonly UNAUTHENTICATED_MEDIA: string
  /** `on` fetches pages that users link to, for previews of them. */
  readonly URL_PREVIEWS: string
  readonly ROOMS_PER_SYNC: string
  /** How many requests and how many events one other server may send in a day. */
  readonly ORIGIN_REQUESTS_PER_DAY: string
  readonly ORIGIN_PDUS_PER_DAY: string
  /** So many servers to be sent something at once are left to the consumers of the queue. */
  readonly SENDER_QUEUE_FROM: string
  /** How long a server is left alone at first that cannot be reached, in seconds. */
  readonly SENDER_BACK_OFF_SECONDS: string
  /** How long after an event a room looks after what a crash may have kept it from telling, in seconds. */
  readonly ROOM_ALARM_SECONDS: string
  /** The largest room of other servers that is joined, in state events. */
  readonly MAX_JOIN_STATE_EVENTS: string
  /** Servers to ask for keys of others that do not answer, separated by commas. */
  readonly KEY_NOTARIES: string
  /** Requests to other servers by the launcher's process; on Cloudflare, where it is not set, by `fetch`. */
  readonly FEDERATION_TRANSPORT?: Fetcher
  /** How many requests to other servers the sender may have waiting at once. */
  readonly SENDER_CONNECTIONS: string
  /** `on` shows users who is online: see wrangler.toml. */
  readonly PRESENCE: string
  /** `off` keeps what users call their devices from other servers. */
  readonly DEVICE_NAMES: string
  /** `on` where this process is the only one of the server: see storage/session-cache.ts. */
  readonly SESSION_CACHE?: string
  /** Opens /_synapse/admin/v1/register when set. */
  readonly REGISTRATION_SHARED_SECRET?: string
  /** A registration token that makes the first user of the server, printed by the launcher. */
  readonly FIRST_USER_TOKEN?: string
  /** Base URL that clients use, for the well-known document and links in mails; where unset, the request's own origin. */
  readonly PUBLIC_BASE_URL?: string
  /** Documents to accept at registration, as JSON, and a captcha to solve: see docs/operators.md. */
  readonly TERMS_POLICIES?: string
  readonly CAPTCHA?: string
  readonly CAPTCHA_SITE_KEY?: string
  readonly CAPTCHA_SECRET_KEY?: string
  /** Where a captcha counts that was solved there, with commas between them. */
  readonly CAPTCHA_HOSTNAMES?: string
  /** Instead of the service's own address to verify captchas at. */
  readonly CAPTCHA_VERIFY_URL?: string
  /** TURN servers for calls, and what clients are let in with: see docs/operators.md. */
  readonly TURN_URIS?: string
  readonly TURN_SHARED_SECRET?: string
  readonly TURN_USERNAME?: string
  readonly TURN_PASSWORD?: string
  readonly TURN_TTL_SECONDS?: string
  /** Mail to users: the platform's binding, or an HTTP provider, or the launcher. See docs/operators.md. */
  readonly EMAIL?: SendEmail
  readonly MAIL_URL?: string
  readonly MAIL_TOKEN?: string
  readonly MAIL_SINK?: Fetcher
  /** `Name <address>`. */
  readonly MAIL_FROM?: string
  /** Whether an address is asked for at registration: `off`, `optional` or `required`. */
  readonly REGISTRATION_EMAIL?: string
  /** Domains that addresses may have, with commas between them; all where unset. */
  readonly EMAIL_DOMAINS?: string
  /** `on` tells whoever asks for a token whether an address has an account, instead of the owner of the address alone. */
  readonly TELL_THREEPIDS?: string
  /** How long something is unread before a mail tells of it, in seconds; ten minutes where unset. */
  readonly MAIL_NOTIFY_AFTER_SECONDS?: string
  /** Identity providers as JSON, clients they sign in without being asked, and whether passwords do as well: see docs/operators.md. */
  readonly SSO_PROVIDERS?: string
  readonly SSO_CLIENT_WHITELIST?: string
  readonly PASSWORD_LOGIN?: string
  /** `on` offers the OAuth 2.0 API besides the legacy one: see docs/operators.md. */
  readonly OAUTH?: string
  /** Whom to ask for help: a Matrix user id, an address, a page. Published in a well-known document when set. */
  readonly SUPPORT_USER?: string
  readonly SUPPORT_EMAIL?: string
  readonly SUPPORT_PAGE?: string
}

/** The Durable Object of a room. */
export function roomStub(env: Env, roomId: RoomId): DurableObjectStub<Room> {
  return env.ROOM.get(env.ROOM.idFromName(roomId))
}

/** The Hub shard that holds a local user's log and devices. */
export function hubStub(env: Env, shard: number): DurableObjectStub<Hub> {
  return env.HUB.get(env.HUB.idFromName(`hub-${shard}`))
}

/** The one object that holds the server's signing keys. */
export function serverKeysStub(env: Env): DurableObjectStub<ServerKeys> {
  return env.SERVER_KEYS.get(env.SERVER_KEYS.idFromName('server-keys'))
}

/** The object that brings our users into a room of other servers. */
export function remoteJoinStub(env: Env, roomId: RoomId): DurableObjectStub<RemoteJoin> {
  return env.REMOTE_JOIN.get(env.REMOTE_JOIN.idFromName(roomId))
}

/** The object that asks other servers for what events of a room build upon. */
export function eventFetcherStub(env: Env, roomId: RoomId): DurableObjectStub<EventFetcher> {
  return env.EVENT_FETCHER.get(env.EVENT_FETCHER.idFromName(roomId))
}

/** The one object that sends events to other servers. */
export function federationSenderStub(env: Env): DurableObjectStub<FederationSender> {
  return env.FEDERATION_SENDER.get(env.FEDERATION_SENDER.idFromName('federation-sender'))
}

/** The object that sends events to an application service. */
export function appserviceSenderStub(env: Env, id: string): DurableObjectStub<AppserviceSender> {
  return env.APPSERVICE_SENDER.get(env.APPSERVICE_SENDER.idFromName(id))
}

/** The one object that hashes and checks passwords. */
export function passwordHasherStub(env: Env): DurableObjectStub<PasswordHasher> {
  return env.PASSWORD_HASHER.get(env.PASSWORD_HASHER.idFromName('password-hasher'))
}
