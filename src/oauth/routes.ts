// All of the OAuth 2.0 API. Specification: client-server API, "OAuth 2.0 API".

import type { App } from '../http/app-type.ts'
import { accountRoutes } from './account.ts'
import { authorizeRoutes } from './authorize.ts'
import { awareClientRoutes } from './aware-client.ts'
import { browserRegistrationRoutes } from './browser-registration.ts'
import { deviceAuthorizationRoutes } from './device-authorization.ts'
import { metadataRoutes } from './metadata.ts'
import { recoveryPageRoutes } from './recovery-page.ts'
import { registerClientRoutes } from './register-client.ts'
import { revokeRoutes } from './revoke.ts'
import { signInRoutes } from './sign-in.ts'
import { tokenRoutes } from './token.ts'

/** Adds them all. */
export function oauthRoutes(app: App): void {
  metadataRoutes(app)
  registerClientRoutes(app)
  authorizeRoutes(app)
  signInRoutes(app)
  recoveryPageRoutes(app)
  browserRegistrationRoutes(app)
  deviceAuthorizationRoutes(app)
  tokenRoutes(app)
  revokeRoutes(app)
  accountRoutes(app)
  awareClientRoutes(app)
}
