// The fields for a new password, on the pages that change one.

import { html } from 'hono/html'
import { MatrixError } from '../errors.ts'
import { checkNewPassword } from '../http/check-password.ts'
import type { DeviceSelection } from '../hub/devices.ts'
import type { Sent } from './account-form.ts'

export const newPasswordFields = html`
  <label>
    New password
    <input name="new_password" type="password" autocomplete="new-password" required />
  </label>
  <label>
    New password once more
    <input name="again" type="password" autocomplete="new-password" required />
  </label>
  <label class="choice">
    <input type="checkbox" name="sign_out" value="yes" />
    <span>Sign out all applications. They lose encrypted messages that are kept nowhere else.</span>
  </label>
`

/** What was filled in: the password, and the devices to be ended. 400 M_INVALID_PARAM, M_WEAK_PASSWORD. */
export function checkedNewPassword(sent: Sent): {
  readonly password: string
  readonly ended: DeviceSelection | undefined
} {
  const password = sent['new_password'] ?? ''
  if (password !== sent['again']) {
    throw new MatrixError('M_INVALID_PARAM', 400, 'The new password is not the same both times')
  }
  checkNewPassword(password)
  return { password, ended: sent['sign_out'] === 'yes' ? { allBut: undefined } : undefined }
}
