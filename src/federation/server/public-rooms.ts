// Our published room directory. Server-server API, "Published Room Directory".

import { listDirectory, searchDirectory } from '../../client/room-directory.ts'
import type { FederationRouter } from './router.ts'

/** GET and POST /publicRooms. */
export function publicRoomsRoutes(router: FederationRouter): void {
  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1publicrooms
  router.get('/_matrix/federation/v1/publicRooms', async (c) =>
    c.json(await listDirectory(c.env, c.req.query())),
  )

  // https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1publicrooms
  router.post('/_matrix/federation/v1/publicRooms', async (c, { content }) =>
    c.json(await searchDirectory(c.env, content)),
  )
}
