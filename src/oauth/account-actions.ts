// What users can do on the account page. Specification: client-server API, "Account management URL actions".

import type { OauthSettings } from './oauth-settings.ts'
import { oauthUrl } from './oauth-settings.ts'

/** The actions that clients are told of. */
export const accountActions = [
  'org.matrix.profile',
  'org.matrix.devices_list',
  'org.matrix.device_view',
  'org.matrix.device_delete',
  'org.matrix.account_deactivate',
  'org.matrix.cross_signing_reset',
] as const

/** Those of the specification, and what clients have no link for. */
export type AccountAction = (typeof accountActions)[number] | 'hearth.password'

// The names that MSC4191 had at first, which deployed clients use.
const former: Readonly<Record<string, AccountAction>> = {
  'org.matrix.sessions_list': 'org.matrix.devices_list',
  'org.matrix.session_view': 'org.matrix.device_view',
  'org.matrix.session_end': 'org.matrix.device_delete',
}

/** The action that a link means; the list of devices where it means none that there is. */
export function accountAction(text: string | undefined): AccountAction {
  if (text !== undefined && Object.hasOwn(former, text)) return former[text] ?? 'org.matrix.devices_list'
  if (text === 'hearth.password') return text
  return accountActions.find((action) => action === text) ?? 'org.matrix.devices_list'
}

/** A link to one. */
export function accountUrl(
  oauth: OauthSettings,
  action: AccountAction,
  parameters: Readonly<Record<string, string>> = {},
): string {
  return `${oauthUrl(oauth, 'account')}?${new URLSearchParams({ action, ...parameters }).toString()}`
}
