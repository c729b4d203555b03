// Specification: client-server API, "Push Rules: API". There are global rules alone: paths of other scopes, which
// devices once had, are not served.

import { hubStub } from '../env.ts'
import { type Errcode, MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonObject } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import type { PushRuleEdit } from '../hub/push-rules.ts'
import { property } from '../matrix/json.ts'
import {
  parseRuleKind,
  type PushRule,
  type PushRuleset,
  type RuleKind,
} from '../matrix/push-rules/push-rule.ts'
import { areActions, findRule, parsePushRule, type PushRuleFailure } from '../matrix/push-rules/ruleset.ts'
import { textParam } from './path-params.ts'

/** GET /pushrules/ and /pushrules/global/; the rules under /pushrules/global/{kind}/{ruleId}. */
export function pushRuleRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrules
  // The text has the slash at the end, older clients not.
  for (const path of ['/_matrix/client/v3/pushrules/', '/_matrix/client/v3/pushrules']) {
    app.get(path, requireSession(), async (c) => c.json({ global: await rulesetOf(c) }))
  }

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrulesglobal
  for (const path of ['/_matrix/client/v3/pushrules/global/', '/_matrix/client/v3/pushrules/global']) {
    app.get(path, requireSession(), async (c) => c.json(await rulesetOf(c)))
  }

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrulesglobalkindruleid
  app.get('/_matrix/client/v3/pushrules/global/:kind/:ruleId', requireSession(), async (c) =>
    c.json(await ruleOf(c)),
  )

  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3pushrulesglobalkindruleid
  app.put('/_matrix/client/v3/pushrules/global/:kind/:ruleId', requireSession(), (c) => putPushRule(c))

  // https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3pushrulesglobalkindruleid
  app.delete('/_matrix/client/v3/pushrules/global/:kind/:ruleId', requireSession(), (c) =>
    edit(c, { does: 'remove', ...existing(c) }),
  )

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrulesglobalkindruleidenabled
  app.get('/_matrix/client/v3/pushrules/global/:kind/:ruleId/enabled', requireSession(), async (c) =>
    c.json({ enabled: (await ruleOf(c)).enabled }),
  )

  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3pushrulesglobalkindruleidenabled
  app.put('/_matrix/client/v3/pushrules/global/:kind/:ruleId/enabled', requireSession(), async (c) => {
    const enabled = property(await jsonObject(c), 'enabled')
    if (enabled === undefined) throw missing('enabled')
    if (typeof enabled !== 'boolean') throw invalid('enabled', 'not a boolean')
    return edit(c, { does: 'setEnabled', ...existing(c), enabled })
  })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrulesglobalkindruleidactions
  app.get('/_matrix/client/v3/pushrules/global/:kind/:ruleId/actions', requireSession(), async (c) =>
    c.json({ actions: (await ruleOf(c)).actions }),
  )

  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3pushrulesglobalkindruleidactions
  app.put('/_matrix/client/v3/pushrules/global/:kind/:ruleId/actions', requireSession(), async (c) => {
    const actions = property(await jsonObject(c), 'actions')
    if (actions === undefined) throw missing('actions')
    if (!areActions(actions)) throw invalid('actions', 'not a list of strings and objects')
    return edit(c, { does: 'setActions', ...existing(c), actions })
  })
}

async function putPushRule(c: AppContext): Promise<Response> {
  const kind = parseRuleKind(textParam(c, 'kind'))
  if (kind === undefined) {
    throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter kind: not a kind of push rule')
  }
  const parsed = parsePushRule(kind, textParam(c, 'ruleId'), await jsonObject(c))
  if (!parsed.ok) throw refusal(parsed)
  const before = c.req.query('before')
  const after = c.req.query('after')
  const position = { ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) }
  return edit(c, { does: 'put', kind, rule: parsed.rule, position })
}

async function edit(c: AppContext, change: PushRuleEdit): Promise<Response> {
  const { userId, shard } = c.var.session
  const failure = await hubStub(c.env, shard).editPushRules(userId, change)
  if (failure) throw refusal(failure)
  return c.json({})
}

async function rulesetOf(c: AppContext): Promise<PushRuleset> {
  const { userId, shard } = c.var.session
  const content = await hubStub(c.env, shard).getAccountData(userId, null, 'm.push_rules')
  if (content === undefined) throw new Error('a user without push rules')
  // Written by our own object.
  const { global } = JSON.parse(content) as { global: PushRuleset }
  return global
}

async function ruleOf(c: AppContext): Promise<PushRule> {
  const { kind, ruleId } = existing(c)
  const rule = findRule(await rulesetOf(c), kind, ruleId)
  if (rule === undefined) throw notFound()
  return rule
}

/** What the path names. There are no rules of a kind that is not known. 404 M_NOT_FOUND. */
function existing(c: AppContext): { kind: RuleKind; ruleId: string } {
  const kind = parseRuleKind(textParam(c, 'kind'))
  if (kind === undefined) throw notFound()
  return { kind, ruleId: textParam(c, 'ruleId') }
}

const refusals: Readonly<Record<PushRuleFailure['rule'], readonly [Errcode, number]>> = {
  ruleId: ['M_INVALID_PARAM', 400],
  missingField: ['M_MISSING_PARAM', 400],
  invalidField: ['M_INVALID_PARAM', 400],
  anchorNotFound: ['M_UNKNOWN', 400],
  ruleNotFound: ['M_NOT_FOUND', 404],
  tooLarge: ['M_TOO_LARGE', 413],
}

function refusal({ rule, reason }: PushRuleFailure): MatrixError {
  const [errcode, status] = refusals[rule]
  return new MatrixError(errcode, status, reason)
}

function notFound(): MatrixError {
  return new MatrixError('M_NOT_FOUND', 404, 'No such push rule')
}

function missing(field: string): MatrixError {
  return new MatrixError('M_MISSING_PARAM', 400, `Missing field: ${field}`)
}

function invalid(field: string, reason: string): MatrixError {
  return new MatrixError('M_INVALID_PARAM', 400, `Invalid field ${field}: ${reason}`)
}
