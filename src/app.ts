// All routes of the server. Each file under client/, media/ and admin/ adds its own, with full literal paths.

import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { syncRoutes } from './client/sync.ts'
import { slidingSyncRoutes } from './client/sliding-sync.ts'
import { destinationRoutes } from './admin/destinations.ts'
import { signingKeyRoutes } from './admin/signing-keys.ts'
import { serverNoticeRoutes } from './admin/server-notices.ts'
import { synapseRegisterRoutes } from './admin/synapse-register.ts'
import { accountStatusRoutes } from './client/account-status.ts'
import { accountDataRoutes } from './client/account-data.ts'
import { accountDeactivationRoutes } from './client/account-deactivation.ts'
import { accountPasswordRoutes } from './client/account-password.ts'
import { administrativeContactRoutes } from './client/administrative-contact.ts'
import { appserviceDirectoryRoutes } from './client/appservice-directory.ts'
import { appservicePingRoutes } from './client/appservice-ping.ts'
import { authFallbackRoutes } from './client/auth-fallback.ts'
import { capabilitiesRoutes } from './client/capabilities.ts'
import { crossSigningRoutes } from './client/cross-signing.ts'
import { dehydratedDeviceRoutes } from './client/dehydrated-device.ts'
import { delayedEventRoutes } from './client/delayed-events.ts'
import { deviceRoutes } from './client/devices.ts'
import { eventByTimestampRoutes } from './client/event-by-timestamp.ts'
import { eventContextRoutes } from './client/event-context.ts'
import { eventStreamRoutes } from './client/event-stream.ts'
import { filterRoutes } from './client/filter.ts'
import { identityBindingRoutes } from './client/identity-binding.ts'
import { initialSyncRoutes } from './client/initial-sync.ts'
import { keyBackupRoutes } from './client/key-backup.ts'
import { keysQueryRoutes } from './client/keys-query.ts'
import { keysUploadRoutes } from './client/keys-upload.ts'
import { loginFallbackRoutes } from './client/login-fallback.ts'
import { loginRoutes } from './client/login.ts'
import { logoutRoutes } from './client/logout.ts'
import { notificationRoutes } from './client/notifications.ts'
import { mutualRoomsRoutes } from './client/mutual-rooms.ts'
import { openidRoutes } from './client/openid.ts'
import { presenceRoutes } from './client/presence.ts'
import { profileRoutes } from './client/profile.ts'
import { pushRuleRoutes } from './client/push-rules.ts'
import { pusherRoutes } from './client/pushers.ts'
import { relationRoutes } from './client/relations.ts'
import { refreshRoutes } from './client/refresh.ts'
import { registerRoutes } from './client/register.ts'
import { requestTokenRoutes } from './client/request-token.ts'
import { unsubscribeRoutes } from './client/unsubscribe.ts'
import { ssoAccountRoutes } from './client/sso-account.ts'
import { ssoCallbackRoutes } from './client/sso-callback.ts'
import { ssoConfirmRoutes } from './client/sso-confirm.ts'
import { ssoLoginRoutes } from './client/sso-login.ts'
import { submitTokenRoutes } from './client/submit-token.ts'
import { roomEventRoutes } from './client/room-event.ts'
import { roomMembersRoutes } from './client/room-members.ts'
import { roomMessagesRoutes } from './client/room-messages.ts'
import { roomStateReadRoutes } from './client/room-state-read.ts'
import { createRoomRoutes } from './client/create-room.ts'
import { receiptRoutes } from './client/receipts.ts'
import { roomAliasRoutes } from './client/room-aliases.ts'
import { roomDirectoryRoutes } from './client/room-directory.ts'
import { roomMembershipRoutes } from './client/room-membership.ts'
import { roomSendRoutes } from './client/room-send.ts'
import { roomStateRoutes } from './client/room-state.ts'
import { roomSummaryRoutes } from './client/room-summary.ts'
import { roomUpgradeRoutes } from './client/room-upgrade.ts'
import { spaceHierarchyRoutes } from './client/space-hierarchy.ts'
import { thirdPartyNetworkRoutes } from './client/third-party-networks.ts'
import { threadSubscriptionRoutes } from './client/thread-subscriptions.ts'
import { threadRoutes } from './client/threads.ts'
import { typingRoutes } from './client/typing.ts'
import { reportingContentRoutes } from './client/reporting-content.ts'
import { searchRoutes } from './client/search.ts'
import { sendToDeviceRoutes } from './client/send-to-device.ts'
import { serverAdministrationRoutes } from './client/server-administration.ts'
import { tagRoutes } from './client/tags.ts'
import { userDirectoryRoutes } from './client/user-directory.ts'
import { versionsRoutes } from './client/versions.ts'
import { voipRoutes } from './client/voip.ts'
import { wellKnownRoutes } from './client/well-known.ts'
import { whoamiRoutes } from './client/whoami.ts'
import { federationRoutes } from './federation/server/routes.ts'
import type { App, AppEnv } from './http/app-type.ts'
import { mediaRoutes } from './media/media-routes.ts'
import { isPagePath } from './oauth/pages.ts'
import { oauthRoutes } from './oauth/routes.ts'
import { config } from './config.ts'
import { currentPath } from './http/current-path.ts'
import { renderError } from './http/render-error.ts'
import { unrecognized } from './http/unrecognized.ts'

/** Builds the application. */
export function createApp(): App {
  const app: App = new Hono<AppEnv>({ getPath: currentPath })
  // Specification: client-server API, "Web Browser Clients".
  const anyOrigin = cors({
    origin: '*',
    allowMethods: ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS'],
    allowHeaders: ['X-Requested-With', 'Content-Type', 'Authorization'],
    exposeHeaders: ['Retry-After'],
  })
  app.use('*', (c, next) => (isPagePath(c.req.path) ? next() : anyOrigin(c, next)))
  // Settings that make no sense stop everything, from the first request on.
  app.use('*', async (c, next) => {
    config(c.env)
    await next()
  })
  syncRoutes(app)
  slidingSyncRoutes(app)
  app.onError(renderError)
  app.notFound(unrecognized(app))
  serverNoticeRoutes(app)
  synapseRegisterRoutes(app)
  accountDataRoutes(app)
  accountDeactivationRoutes(app)
  accountPasswordRoutes(app)
  accountStatusRoutes(app)
  administrativeContactRoutes(app)
  requestTokenRoutes(app)
  submitTokenRoutes(app)
  unsubscribeRoutes(app)
  appserviceDirectoryRoutes(app)
  appservicePingRoutes(app)
  authFallbackRoutes(app)
  capabilitiesRoutes(app)
  dehydratedDeviceRoutes(app)
  delayedEventRoutes(app)
  destinationRoutes(app)
  signingKeyRoutes(app)
  deviceRoutes(app)
  federationRoutes(app)
  eventByTimestampRoutes(app)
  eventContextRoutes(app)
  eventStreamRoutes(app)
  identityBindingRoutes(app)
  initialSyncRoutes(app)
  filterRoutes(app)
  crossSigningRoutes(app)
  keyBackupRoutes(app)
  keysQueryRoutes(app)
  keysUploadRoutes(app)
  loginFallbackRoutes(app)
  loginRoutes(app)
  logoutRoutes(app)
  mediaRoutes(app)
  notificationRoutes(app)
  mutualRoomsRoutes(app)
  oauthRoutes(app)
  openidRoutes(app)
  presenceRoutes(app)
  profileRoutes(app)
  pushRuleRoutes(app)
  pusherRoutes(app)
  refreshRoutes(app)
  relationRoutes(app)
  registerRoutes(app)
  roomEventRoutes(app)
  roomMembersRoutes(app)
  roomMessagesRoutes(app)
  roomStateReadRoutes(app)
  createRoomRoutes(app)
  receiptRoutes(app)
  roomAliasRoutes(app)
  roomDirectoryRoutes(app)
  roomMembershipRoutes(app)
  roomSendRoutes(app)
  roomStateRoutes(app)
  roomSummaryRoutes(app)
  reportingContentRoutes(app)
  roomUpgradeRoutes(app)
  searchRoutes(app)
  sendToDeviceRoutes(app)
  serverAdministrationRoutes(app)
  thirdPartyNetworkRoutes(app)
  spaceHierarchyRoutes(app)
  ssoAccountRoutes(app)
  ssoCallbackRoutes(app)
  ssoConfirmRoutes(app)
  ssoLoginRoutes(app)
  threadRoutes(app)
  threadSubscriptionRoutes(app)
  typingRoutes(app)
  tagRoutes(app)
  userDirectoryRoutes(app)
  versionsRoutes(app)
  voipRoutes(app)
  wellKnownRoutes(app)
  whoamiRoutes(app)
  return app
}
