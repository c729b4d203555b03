// m.login.terms: the user accepts the operator's documents. Specification: client-server API, "Terms of service at
// registration".

import { html } from 'hono/html'
import { config } from '../../config.ts'
import type { Env } from '../../env.ts'
import { type JsonObject, objectProperty, stringProperty } from '../../matrix/json.ts'
import type { InteractiveAuthSession } from '../../storage/interactive-auth-sessions.ts'
import { bestLanguage } from '../../web/accepted-languages.ts'
import type { Html } from '../../web/page.ts'
import type { AuthStage, StageOutcome } from './auth-stage.ts'
import { type PolicyDocument, type TermsPolicies, translations } from './terms-policies.ts'

export const termsStage: AuthStage = {
  params: (env) => ({ policies: policiesJson(config(env).terms ?? {}) }),
  perform,
  page: {
    title: 'Terms of this server',
    button: 'Accept and continue',
    fields: [],
    content: ({ session, languages }) => html`
      <p>To have an account here you have to accept:</p>
      ${Object.entries(presentedPolicies(session)).map(([id, policy]) => policyCheckbox(id, policy, languages))}
    `,
  },
}

// Type and session are all there is to send: they say that all documents were accepted. Without the session they were
// never shown.
async function perform(_env: Env, session: InteractiveAuthSession, auth: JsonObject): Promise<StageOutcome> {
  if (stringProperty(auth, 'session') === session.id) return { ok: true, userId: session.userId }
  return { ok: false, errcode: 'M_FORBIDDEN', error: 'The terms must be shown before they are accepted' }
}

/** The documents that a session has accepted, in the versions it was shown. */
export function acceptedPolicies(
  session: InteractiveAuthSession,
): { readonly policyId: string; readonly version: string }[] {
  if (!session.completed.includes('m.login.terms')) return []
  return Object.entries(presentedPolicies(session)).map(([policyId, { version }]) => ({ policyId, version }))
}

// As termsPolicies checked them when the session was opened.
function presentedPolicies({ offer }: InteractiveAuthSession): TermsPolicies {
  return (objectProperty(objectProperty(offer.params, 'm.login.terms'), 'policies') ?? {}) as TermsPolicies
}

function policiesJson(policies: TermsPolicies): JsonObject {
  return policies as JsonObject
}

/** A field that says, with the version as its value, that a document is accepted; in the language that suits the reader best. */
export function policyCheckbox(id: string, policy: PolicyDocument, languages: readonly string[]): Html {
  const found = new Map(translations(policy))
  const language = bestLanguage([...found.keys()], languages)
  const document = language === undefined ? undefined : found.get(language)
  if (language === undefined || document === undefined) return html``
  const tag = language.replaceAll('_', '-')
  return html`<label class="choice">
    <input type="checkbox" name="${`policy ${id}`}" value="${policy.version}" required />
    <span>
      <a href="${document.url}" target="_blank" rel="noopener noreferrer" lang="${tag}" hreflang="${tag}">
        ${document.name}</a
      >
      (version ${policy.version})
    </span>
  </label>`
}
