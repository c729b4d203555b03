// Whether users of this server exist. Unstable: MSC3720.

import { isLocal } from '../../client/path-params.ts'
import { askedUsers } from '../../client/account-status.ts'
import { MatrixError } from '../../errors.ts'
import { findAccountStatuses } from '../../storage/account-status.ts'
import type { FederationRouter } from './router.ts'

/** POST /account_status. */
export function accountStatusRoutes(router: FederationRouter): void {
  // https://github.com/matrix-org/matrix-spec-proposals/pull/3720
  router.post('/_matrix/federation/unstable/org.matrix.msc3720/account_status', async (c, { content }) => {
    const userIds = askedUsers(content)
    const foreign = userIds.find((userId) => !isLocal(c.env, userId))
    if (foreign !== undefined) {
      throw new MatrixError('M_INVALID_PARAM', 400, `Invalid field user_ids: ${foreign} is of another server`)
    }
    if (userIds.length === 0) return c.json({})
    const statuses = await findAccountStatuses(c.env, userIds)
    return c.json({ account_statuses: Object.fromEntries(statuses), failures: [] })
  })
}
