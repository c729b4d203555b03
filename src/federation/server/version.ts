// Which implementation this is. Server-server API, "Server implementation".

import { implementation } from '../../version.ts'
import type { FederationRouter } from './router.ts'

/** GET /_matrix/federation/v1/version. */
export function versionRoutes({ openRoute }: FederationRouter): void {
  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1version
  openRoute('GET', '/_matrix/federation/v1/version', (c) => c.json({ server: implementation }))
}
