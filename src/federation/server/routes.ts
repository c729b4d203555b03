// All routes of the federation API. Each file here adds its own.

import type { App } from '../../http/app-type.ts'
import { notaryRoutes } from './notary.ts'
import { federationRouter } from './router.ts'
import { serverKeyRoutes } from './server-keys.ts'
import { transactionRoutes } from './transactions.ts'
import { versionRoutes } from './version.ts'

/** Adds the routes that other servers ask for. */
export function federationRoutes(app: App): void {
  const router = federationRouter(app)
  notaryRoutes(router)
  serverKeyRoutes(router)
  transactionRoutes(router)
  versionRoutes(router)
}
