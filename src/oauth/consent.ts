// What users are asked before an application gets in. Specification: client-server API, "OAuthClientMetadata"; RFC 6749, section 10.2;
// RFC 8628, section 5.4.

import { html } from 'hono/html'
import { hubStub } from '../env.ts'
import type { AppContext } from '../http/app-type.ts'
import type { User } from '../storage/users.ts'
import type { Html } from '../web/page.ts'
import { type ClientMetadata, shownName } from './client-metadata.ts'
import type { Scope } from './scope.ts'

/** Who asks for what. `user` is who is asked, `where` what the application gets the answer by. */
export async function consentText(
  c: AppContext,
  user: User,
  client: ClientMetadata,
  { deviceId }: Scope,
  where: string | undefined,
): Promise<Html> {
  const known = await hubStub(c.env, user.shard).getDevice(user.userId, deviceId)
  const host = new URL(client.client_uri).hostname
  return html`
    <p>Account: <b>${user.userId}</b></p>
    <p>
      <b>${shownName(client)}</b> of ${away(client.client_uri, host)} asks for full access to your account: it
      can then read and write in your name.
    </p>
    ${where === undefined || where === host ? '' : html`<p>It is reached at <b>${where}</b>.</p>`}
    <p>Its session will be called <b>${deviceId}</b>.</p>
    ${
      known === undefined
        ? ''
        : html`<p>
            You have a session of that name (${known.display_name ?? 'without a description'}): this
            application takes it over, and whatever used it before is signed out.
          </p>`
    }
    ${links(client)}
    <p>If you do not know this application, or did not come from there, do not let it in.</p>
  `
}

function links({ tos_uri: terms, policy_uri: policy }: ClientMetadata): Html {
  if (terms === undefined && policy === undefined) return html``
  return html`<p>
    What its makers say: ${terms === undefined ? '' : away(terms, 'terms of service')}
    ${policy === undefined ? '' : away(policy, 'privacy policy')}
  </p>`
}

const away = (href: string, text: string) =>
  html`<a href="${href}" target="_blank" rel="noopener noreferrer">${text}</a>`

/** The answers that there are. */
export const decisionButtons = html`
  <button name="decision" value="allow">Continue</button>
  <button name="decision" value="deny" class="quiet">Cancel</button>
`
