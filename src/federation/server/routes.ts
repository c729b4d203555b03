// All routes of the federation API. Each file here adds its own.

import type { App } from '../../http/app-type.ts'
import { accountStatusRoutes } from './account-status.ts'
import { backfillingRoutes } from './backfilling.ts'
import { contentRepositoryRoutes } from './content-repository.ts'
import { invitingRoutes } from './inviting.ts'
import { joiningRoomsRoutes } from './joining-rooms.ts'
import { knockingRoutes } from './knocking.ts'
import { leavingRoomsRoutes } from './leaving-rooms.ts'
import { notaryRoutes } from './notary.ts'
import { openidRoutes } from './openid.ts'
import { publicRoomsRoutes } from './public-rooms.ts'
import { queryingRoutes } from './querying.ts'
import { retrievingEventsRoutes } from './retrieving-events.ts'
import { federationRouter } from './router.ts'
import { serverKeyRoutes } from './server-keys.ts'
import { spaceRoutes } from './spaces.ts'
import { thirdPartyInviteRoutes } from './third-party-invites.ts'
import { transactionRoutes } from './transactions.ts'
import { userKeysRoutes } from './user-keys.ts'
import { versionRoutes } from './version.ts'

/** Adds the routes that other servers ask for. */
export function federationRoutes(app: App): void {
  const router = federationRouter(app)
  accountStatusRoutes(router)
  backfillingRoutes(router)
  contentRepositoryRoutes(router)
  invitingRoutes(router)
  joiningRoomsRoutes(router)
  knockingRoutes(router)
  leavingRoomsRoutes(router)
  notaryRoutes(router)
  openidRoutes(router)
  publicRoomsRoutes(router)
  queryingRoutes(router)
  retrievingEventsRoutes(router)
  serverKeyRoutes(router)
  spaceRoutes(router)
  thirdPartyInviteRoutes(router)
  transactionRoutes(router)
  userKeysRoutes(router)
  versionRoutes(router)
}
