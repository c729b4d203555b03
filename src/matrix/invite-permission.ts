// Whose invites a user takes. Specification: client-server API, "Invite permission"; with the lists of MSC4155, which are not
// in the specification.

import type { UserId } from './event.ts'
import { compileGlob, matchesGlob } from './glob.ts'
import { serverNameOf } from './identifiers.ts'
import { type JsonObject, property } from './json.ts'

/** Blocked invites are refused, ignored ones are not shown. */
export type InvitePermission = 'allow' | 'ignore' | 'block'

/** The types of account data that say so: the specified one, and that with lists. */
export const invitePermissionTypes = [
  'm.invite_permission_config',
  'org.matrix.msc4155.invite_permission_config',
] as const

const actions = [
  ['allowed', 'allow'],
  ['ignored', 'ignore'],
  ['blocked', 'block'],
] as const

/** What becomes of an invite by a user. The first list that names them decides, users before servers. */
export function invitePermission(
  config: JsonObject | undefined,
  lists: JsonObject | undefined,
  inviter: UserId,
): InvitePermission {
  if (property(config, 'default_action') === 'block') return 'block'
  for (const [kind, name] of [['users', inviter] as const, ['servers', serverNameOf(inviter)] as const]) {
    for (const [action, permission] of actions) {
      if (isNamed(property(lists, `${action}_${kind}`), name)) return permission
    }
  }
  return 'allow'
}

// Names are globs. What is no list names nobody.
function isNamed(globs: unknown, name: string): boolean {
  if (!Array.isArray(globs)) return false
  return globs.some((glob) => typeof glob === 'string' && matchesGlob(compileGlob(glob), name))
}
