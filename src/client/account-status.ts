// Whether users exist, here and on other servers. Unstable: MSC3720.

import * as v from 'valibot'
import { federationRequest } from '../federation/client/request.ts'
import type { Env } from '../env.ts'
import { isMatrixError } from '../errors.ts'
import type { App } from '../http/app-type.ts'
import { checked, jsonObject } from '../http/json-body.ts'
import { rateLimitUser } from '../http/rate-limit.ts'
import { requireSession } from '../http/session.ts'
import type { ServerName, UserId } from '../matrix/event.ts'
import { serverNameOf } from '../matrix/identifiers.ts'
import { type JsonObject, objectProperty, property } from '../matrix/json.ts'
import { type AccountStatus, findAccountStatuses } from '../storage/account-status.ts'
import { checkedUserId, isLocal } from './path-params.ts'

const mostUsers = 500
const mostServers = 10
const timeoutMs = 10_000
const body = v.looseObject({ user_ids: v.pipe(v.array(v.string()), v.maxLength(mostUsers)) })

/** POST /account_status. */
export function accountStatusRoutes(app: App): void {
  // https://github.com/matrix-org/matrix-spec-proposals/pull/3720
  app.post('/_matrix/client/unstable/org.matrix.msc3720/account_status', requireSession(), async (c) => {
    await rateLimitUser(c.env, c.env.SEND_LIMIT, c.var.session)
    const userIds = askedUsers(await jsonObject(c))
    if (userIds.length === 0) return c.json({})
    const local = userIds.filter((userId) => isLocal(c.env, userId))
    const remote = Map.groupBy(
      userIds.filter((userId) => !isLocal(c.env, userId)),
      (userId) => serverNameOf(userId),
    )
    const found = await Promise.all([
      findAccountStatuses(c.env, local),
      ...[...remote].slice(0, mostServers).map(([server, ofServer]) => askServer(c.env, server, ofServer)),
    ])
    const statuses = new Map(found.flatMap((part) => [...part]))
    return c.json({
      account_statuses: Object.fromEntries(statuses),
      failures: userIds.filter((userId) => !statuses.has(userId)),
    })
  })
}

/** The users that a request asks about, each once. M_MISSING_PARAM, M_INVALID_PARAM. */
export function askedUsers(content: JsonObject): UserId[] {
  const { user_ids: userIds } = checked(body, content, 'M_INVALID_PARAM')
  return [...new Set(userIds.map((text) => checkedUserId('user_ids', text)))]
}

/** What another server says of its users; nothing of those it does not speak of, or if it cannot be asked. */
async function askServer(
  env: Env,
  destination: ServerName,
  userIds: readonly UserId[],
): Promise<Map<UserId, AccountStatus>> {
  const statuses = new Map<UserId, AccountStatus>()
  try {
    const answer = await federationRequest(env, {
      destination,
      method: 'POST',
      path: '/_matrix/federation/unstable/org.matrix.msc3720/account_status',
      content: { user_ids: [...userIds] },
      timeoutMs,
    })
    const told = answer.status === 200 ? objectProperty(answer.body, 'account_statuses') : undefined
    for (const userId of userIds) {
      const status = statusOf(objectProperty(told, userId))
      if (status) statuses.set(userId, status)
    }
  } catch (error) {
    if (!isMatrixError(error)) throw error
  }
  return statuses
}

function statusOf(status: JsonObject | undefined): AccountStatus | undefined {
  const exists = property(status, 'exists')
  if (typeof exists !== 'boolean') return undefined
  return exists ? { exists, deactivated: property(status, 'deactivated') === true } : { exists }
}
