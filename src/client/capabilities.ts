// Specification: client-server API, "Capabilities negotiation".

import { config } from '../config.ts'
import type { App } from '../http/app-type.ts'
import { requireSession, type Session } from '../http/session.ts'
import { roomVersionIds, unstableRoomVersionIds } from '../matrix/room-version.ts'

const moderation = { suspend: true, lock: true }

/** GET /capabilities. */
export function capabilitiesRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3capabilities
  app.get('/_matrix/client/v3/capabilities', requireSession(), (c) =>
    c.json({
      capabilities: {
        // Clients of the OAuth 2.0 API send their users to the account page.
        'm.change_password': { enabled: config(c.env).passwordLogin && isLegacy(c.var.session) },
        'm.room_versions': {
          default: config(c.env).defaultRoomVersion,
          available: Object.fromEntries([
            ...roomVersionIds.map((id) => [id, 'stable']),
            ...unstableRoomVersionIds.map((id) => [id, 'unstable']),
          ]),
        },
        'm.profile_fields': { enabled: true },
        'uk.tcpip.msc4133.profile_fields': { enabled: true },
        'm.set_displayname': { enabled: true },
        'm.set_avatar_url': { enabled: true },
        // Without mail nobody could show that an address is theirs.
        'm.3pid_changes': { enabled: config(c.env).mail !== undefined && isLegacy(c.var.session) },
        'm.get_login_token': { enabled: isLegacy(c.var.session) },
        'm.forget_forced_upon_leave': { enabled: false },
        'org.matrix.msc3720.account_status': { enabled: true },
        // For those alone who may.
        ...(c.var.session.admin
          ? { 'm.account_moderation': moderation, 'uk.timedout.msc4323': moderation }
          : {}),
      },
    }),
  )
}

// What takes interactive authentication is not for clients of the OAuth 2.0 API.
function isLegacy({ oauthClient }: Session): boolean {
  return oauthClient === undefined
}
