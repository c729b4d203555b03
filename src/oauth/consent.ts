// What users are asked before an application gets in. Specification: client-server API, "OAuthClientMetadata"; RFC 6749, section 10.2;
// RFC 8628, section 5.4.

import { html } from 'hono/html'
import { hubStub } from '../env.ts'
import type { AppContext } from '../http/app-type.ts'
import type { User } from '../storage/users.ts'
import type { Html } from '../web/page.ts'
import { ownerOf } from './authorization-request.ts'
import { type ClientMetadata, shownName } from './client-metadata.ts'
import type { Scope } from './scope.ts'

/** Who asks for what. `user` is who is asked, `redirect` where the application gets the answer; undefined for one that has no browser. */
export async function consentText(
  c: AppContext,
  user: User,
  client: ClientMetadata,
  { deviceId }: Scope,
  redirect: URL | undefined,
): Promise<Html> {
  const known = await hubStub(c.env, user.shard).getDevice(user.userId, deviceId)
  const { hostname: host } = new URL(client.client_uri)
  return html`
    <p>Account: <b>${user.userId}</b></p>
    <p>
      <b><bdi>${shownName(client)}</bdi></b> of ${away(client.client_uri, host)} asks for full access to your
      account: it can then read and write in your name.
    </p>
    ${reached(redirect, host)}
    <p>Its session will be called <b>${deviceId}</b>.</p>
    ${
      known === undefined
        ? ''
        : html`<p>
            You have a session of that name (<bdi>${known.display_name ?? 'without a description'}</bdi>):
            this application takes it over, and whatever used it before is signed out.
          </p>`
    }
    ${links(client)}
    <p>If you do not know this application, or did not come from there, do not let it in.</p>
  `
}

// RFC 8252, section 8.6: what is on a device, or has no address, may take another's name. Only who has a site gets what is sent there.
function reached(redirect: URL | undefined, host: string): Html {
  const where = redirect && ownerOf(redirect)
  return html`
    ${where === undefined || where === host ? '' : html`<p>It is reached at <b>${where}</b>.</p>`}
    ${
      redirect?.protocol === 'https:'
        ? ''
        : html`<p>That it is of ${host} is what it says itself: this server cannot know.</p>`
    }
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
