// Configuration read from the Worker's variables, checked once per isolate.

import type { Appservice } from './appservice/registration.ts'
import { readAppservices } from './appservice/registrations.ts'
import type { Env } from './env.ts'
import { type CaptchaSettings, captchaSettings } from './http/auth-stages/captcha-settings.ts'
import { type TermsPolicies, termsPolicies } from './http/auth-stages/terms-policies.ts'
import { type MailSettings, mailSettings } from './mail/mail-settings.ts'
import type { ServerName } from './matrix/event.ts'
import { roomVersion, type RoomVersionId } from './matrix/room-version.ts'
import { parseServerName } from './matrix/identifiers.ts'
import { type OauthSettings, oauthSettings } from './oauth/oauth-settings.ts'
import { integer, oneOf } from './settings.ts'
import { passwordLogin, ssoSettings, type SsoSettings } from './sso/sso-settings.ts'

export interface Config {
  readonly serverName: ServerName
  readonly registration: 'open' | 'token' | 'closed'
  readonly rateLimits: boolean
  readonly defaultRoomVersion: RoomVersionId
  readonly hubShards: number
  readonly roomsPerSync: number
  /** How many requests to other servers the FederationSender may have waiting at once. */
  readonly senderConnections: number
  /** How many requests and how many events one other server may send in a day. */
  readonly originRequestsPerDay: number
  readonly originPdusPerDay: number
  /** So many servers to be sent something at once are left to the consumers of the queue. */
  readonly senderQueueFrom: number
  /** How long the FederationSender leaves a server alone at first that cannot be reached, in milliseconds. */
  readonly senderBackOffMs: number
  /** How long after an event a room looks after what a crash may have kept it from telling, in milliseconds. */
  readonly roomAlarmMs: number
  /** The largest room of other servers that is joined, in state events. */
  readonly maxJoinStateEvents: number
  /** Whom to ask for keys of servers that do not answer, in this order. */
  readonly keyNotaries: readonly ServerName[]
  /** Whether users are shown who is online. */
  readonly presence: boolean
  /** Whether other servers are told what users call their devices. */
  readonly deviceNames: boolean
  /** Whether pages that users link to are fetched for previews. */
  readonly urlPreviews: boolean
  /** What users accept and solve to register; undefined where they need not. */
  readonly terms: TermsPolicies | undefined
  readonly captcha: CaptchaSettings | undefined
  /** How mail is sent; undefined where it is not. */
  readonly mail: MailSettings | undefined
  /** Identity providers that users sign in with; undefined where there are none. */
  readonly sso: SsoSettings | undefined
  /** Whether users log in by password, and register with one. */
  readonly passwordLogin: boolean
  /** Where the OAuth 2.0 API is; undefined where it is off. */
  readonly oauth: OauthSettings | undefined
  readonly appservices: readonly Appservice[]
}

const cache = new WeakMap<Env, Config>()

/** The checked configuration. Throws an Error naming the variable when one makes no sense: fail closed. */
export function config(env: Env): Config {
  const known = cache.get(env)
  if (known) return known
  const read = readConfig(env)
  cache.set(env, read)
  return read
}

function readConfig(env: Env): Config {
  const sso = ssoSettings(env)
  const serverName = parseServerName(env.SERVER_NAME)
  if (!serverName) throw new Error(`SERVER_NAME is not a server name: ${env.SERVER_NAME}`)
  const version = roomVersion(env.DEFAULT_ROOM_VERSION)
  if (!version) throw new Error(`DEFAULT_ROOM_VERSION is not a room version: ${env.DEFAULT_ROOM_VERSION}`)
  return {
    serverName,
    registration: oneOf('REGISTRATION', env.REGISTRATION, ['open', 'token', 'closed']),
    rateLimits: oneOf('RATE_LIMITS', env.RATE_LIMITS, ['on', 'off']) === 'on',
    defaultRoomVersion: version.id,
    hubShards: integer('HUB_SHARDS', env.HUB_SHARDS, 64),
    roomsPerSync: integer('ROOMS_PER_SYNC', env.ROOMS_PER_SYNC, 10_000),
    senderConnections: integer('SENDER_CONNECTIONS', env.SENDER_CONNECTIONS, 1000),
    originRequestsPerDay: integer('ORIGIN_REQUESTS_PER_DAY', env.ORIGIN_REQUESTS_PER_DAY, 1e9),
    originPdusPerDay: integer('ORIGIN_PDUS_PER_DAY', env.ORIGIN_PDUS_PER_DAY, 1e9),
    senderQueueFrom: integer('SENDER_QUEUE_FROM', env.SENDER_QUEUE_FROM, 1_000_000),
    senderBackOffMs: 1000 * integer('SENDER_BACK_OFF_SECONDS', env.SENDER_BACK_OFF_SECONDS, 86_400),
    roomAlarmMs: 1000 * integer('ROOM_ALARM_SECONDS', env.ROOM_ALARM_SECONDS, 86_400),
    maxJoinStateEvents: integer('MAX_JOIN_STATE_EVENTS', env.MAX_JOIN_STATE_EVENTS, 10_000_000),
    keyNotaries: serverNames('KEY_NOTARIES', env.KEY_NOTARIES),
    presence: oneOf('PRESENCE', env.PRESENCE, ['on', 'off']) === 'on',
    deviceNames: oneOf('DEVICE_NAMES', env.DEVICE_NAMES, ['on', 'off']) === 'on',
    urlPreviews: oneOf('URL_PREVIEWS', env.URL_PREVIEWS, ['on', 'off']) === 'on',
    terms: termsPolicies(env),
    captcha: captchaSettings(env),
    mail: mailSettings(env),
    sso,
    passwordLogin: passwordLogin(env, sso),
    oauth: oauthSettings(env),
    appservices: readAppservices(env, serverName),
  }
}

function serverNames(name: string, value: string): ServerName[] {
  const texts = value.split(',').map((text) => text.trim())
  return texts
    .filter((text) => text !== '')
    .map((text) => {
      const serverName = parseServerName(text)
      if (!serverName) throw new Error(`${name} must be server names with commas between them, not ${value}`)
      return serverName
    })
}
