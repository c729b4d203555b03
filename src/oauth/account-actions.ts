// What users can do on the account page. Specification: client-server API, "Account management URL actions".

/** The actions that there are. */
export const accountActions = [
  'org.matrix.devices_list',
  'org.matrix.device_view',
  'org.matrix.device_delete',
  'org.matrix.account_deactivate',
  'org.matrix.cross_signing_reset',
] as const

export type AccountAction = (typeof accountActions)[number]

// The names that MSC4191 had at first.
const former: Readonly<Record<string, AccountAction>> = {
  'org.matrix.sessions_list': 'org.matrix.devices_list',
  'org.matrix.session_view': 'org.matrix.device_view',
  'org.matrix.session_end': 'org.matrix.device_delete',
}

/** The action that a link means; the list of devices where it means none that there is. */
export function accountAction(text: string | undefined): AccountAction {
  if (text !== undefined && Object.hasOwn(former, text)) return former[text] ?? 'org.matrix.devices_list'
  return accountActions.find((action) => action === text) ?? 'org.matrix.devices_list'
}
