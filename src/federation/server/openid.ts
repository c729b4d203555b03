// Whose an OpenID token is. Server-server API, "OpenID".

import { MatrixError } from '../../errors.ts'
import { userOfOpenidToken } from '../../storage/openid-tokens.ts'
import type { FederationRouter } from './router.ts'

/** GET /openid/userinfo, for anyone who was given a token. */
export function openidRoutes({ openRoute }: FederationRouter): void {
  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1openiduserinfo
  openRoute('GET', '/_matrix/federation/v1/openid/userinfo', async (c) => {
    const token = c.req.query('access_token')
    if (token === undefined) throw new MatrixError('M_MISSING_TOKEN', 401, 'Missing parameter: access_token')
    const userId = await userOfOpenidToken(c.env, token)
    if (!userId) throw new MatrixError('M_UNKNOWN_TOKEN', 401, 'Access token unknown or expired')
    return c.json({ sub: userId })
  })
}
