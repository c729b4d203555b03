// Specification: client-server API, "Push Notifications": POST /pushers/set, GET /pushers.

import * as v from 'valibot'
import { config } from '../config.ts'
import { hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { checked, jsonObject } from '../http/json-body.ts'
import { rateLimitUser } from '../http/rate-limit.ts'
import { deviceOf, requireSession } from '../http/session.ts'
import { canonicalEmail } from '../matrix/email-address.ts'
import { isJsonObject, type JsonObject, property } from '../matrix/json.ts'
import type { PusherSettings } from '../push/context.ts'
import { threepidOwner } from '../storage/threepids.ts'
import { tellOtherShards } from './other-shards.ts'

const longestPushkeyBytes = 512
const longestAppId = 64
const longestText = 1024
const longestData = 16 * 1024
const emailAppId = 'm.email'

const text = v.pipe(v.string(), v.maxLength(longestText))
const idsBody = v.object({
  kind: v.nullable(v.string()),
  app_id: v.pipe(v.string(), v.maxLength(longestAppId)),
  pushkey: v.pipe(
    v.string(),
    v.check((key) => Buffer.byteLength(key) <= longestPushkeyBytes, 'more than 512 bytes'),
  ),
})
const pusherBody = v.object({
  app_display_name: text,
  device_display_name: text,
  lang: text,
  profile_tag: v.optional(text),
  append: v.optional(v.boolean(), false),
  data: v.looseObject({}),
})
const httpData = v.object({ data: v.looseObject({ url: v.string(), format: v.optional(v.string()) }) })

/** GET /pushers, POST /pushers/set. */
export function pusherRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushers
  app.get('/_matrix/client/v3/pushers', requireSession(), async (c) => {
    const { userId, shard } = c.var.session
    // Written by our own object.
    const pushers = JSON.parse(await hubStub(c.env, shard).listPushers(userId)) as PusherSettings[]
    return c.json({ pushers: pushers.map(asBody) })
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3pushersset
  app.post('/_matrix/client/v3/pushers/set', requireSession(), (c) => changePusher(c))
}

async function changePusher(c: AppContext): Promise<Response> {
  const { session } = c.var
  await rateLimitUser(c.env, c.env.SEND_LIMIT, c.var.session)
  const body = await jsonObject(c)
  const { kind, app_id: appId, pushkey } = checked(idsBody, body, 'M_BAD_JSON')
  const hub = hubStub(c.env, session.shard)
  if (kind === null) {
    await hub.dropPusher({ appId, pushkey }, session.userId)
    return c.json({})
  }
  if (kind !== 'http' && kind !== 'email') throw invalid('kind', 'not a kind of pusher')
  if (kind === 'email') await checkAddress(c, appId, pushkey)
  else checked(httpData, body, 'M_BAD_JSON')
  const { append, ...pusher } = checked(pusherBody, body, 'M_BAD_JSON')
  const settings: PusherSettings = {
    ...(kind === 'email' ? { kind } : {}),
    appId,
    pushkey,
    appDisplayName: pusher.app_display_name,
    deviceDisplayName: pusher.device_display_name,
    lang: pusher.lang,
    ...(pusher.profile_tag === undefined ? {} : { profileTag: pusher.profile_tag }),
    data: kind === 'email' ? boundedData(property(body, 'data')) : checkedData(property(body, 'data')),
  }
  // It goes when its device does.
  await hub.setPusher({ userId: session.userId, ...deviceOf(session) }, settings, append)
  // Another account on the same phone must not go on being told what the first one gets.
  if (!append) await tellOtherShards(c.env, session.shard, (other) => other.dropPusher({ appId, pushkey }))
  return c.json({})
}

/** Mails go to addresses of the account alone. 400 M_THREEPID_NOT_FOUND, M_INVALID_PARAM where no mail is sent. */
async function checkAddress(c: AppContext, appId: string, pushkey: string): Promise<void> {
  if (!config(c.env).mail) throw invalid('kind', 'this server sends no e-mail')
  if (appId !== emailAppId) throw invalid('app_id', `not ${emailAppId}, which goes with the kind`)
  const address = canonicalEmail(pushkey)
  if (address === undefined) throw invalid('pushkey', 'not an e-mail address')
  if ((await threepidOwner(c.env, 'email', address)) === c.var.session.userId) return
  throw new MatrixError('M_THREEPID_NOT_FOUND', 400, 'The address is none of the account')
}

function boundedData(data: unknown): JsonObject {
  if (!isJsonObject(data)) throw invalid('data', 'not an object')
  if (JSON.stringify(data).length > longestData) throw invalid('data', 'too large')
  return data
}

/** The data of an HTTP pusher as the client gave it: custom keys are for the gateway. M_INVALID_PARAM. */
function checkedData(given: unknown): JsonObject {
  const data = boundedData(given)
  const { url: address, format } = data
  const url = typeof address === 'string' ? URL.parse(address) : null
  // Must be HTTPS, and nothing but the endpoint of a push gateway: what is posted there is posted by this server.
  if (url?.protocol !== 'https:' || url.pathname !== '/_matrix/push/v1/notify') {
    throw invalid('data.url', 'not an https URL with the path /_matrix/push/v1/notify')
  }
  if (url.username !== '' || url.password !== '') throw invalid('data.url', 'has a password in it')
  if (format !== undefined && format !== 'event_id_only') {
    throw invalid('data.format', 'not event_id_only, which is the only one')
  }
  return data
}

function invalid(field: string, reason: string): MatrixError {
  return new MatrixError('M_INVALID_PARAM', 400, `Invalid field ${field}: ${reason}`)
}

function asBody(settings: PusherSettings): JsonObject {
  return {
    kind: settings.kind ?? 'http',
    app_id: settings.appId,
    pushkey: settings.pushkey,
    app_display_name: settings.appDisplayName,
    device_display_name: settings.deviceDisplayName,
    ...(settings.profileTag === undefined ? {} : { profile_tag: settings.profileTag }),
    lang: settings.lang,
    data: settings.data,
  }
}
