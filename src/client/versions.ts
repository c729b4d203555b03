// Specification: client-server API, "API Versions".

import type { App } from '../http/app-type.ts'

// Each version adds to the one before, so a client that knows any of them finds what it looks for.
const versions = Array.from({ length: 19 }, (_, n) => `v1.${n + 1}`)

const unstableFeatures = {
  // Simplified sliding sync, in the form before it was accepted.
  'org.matrix.simplified_msc3575': true,
  // Profile fields under their old path, for clients that do not look for them in v1.16.
  'uk.tcpip.msc4133': true,
  'uk.tcpip.msc4133.stable': true,
  // Media for those alone who are signed in, before v1.11.
  'org.matrix.msc3916.stable': true,
  // Account data can be deleted, timelines filtered by relation, invites refused by who invites.
  'org.matrix.msc3391': true,
  'org.matrix.msc3874': true,
  'org.matrix.msc4155': true,
  // Delayed events, by which calls end when a client is gone.
  'org.matrix.msc4140': true,
  // Devices that get keys while their user is logged in nowhere.
  'org.matrix.msc3814': true,
  // Subscriptions to threads.
  'org.matrix.msc4306': true,
  // Suspending and locking accounts, before v1.18.
  'uk.timedout.msc4323': true,
}

/** GET /versions. */
export function versionsRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientversions
  app.get('/_matrix/client/versions', (c) => c.json({ versions, unstable_features: unstableFeatures }))
}
