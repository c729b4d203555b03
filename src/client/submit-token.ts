// Where tokens from mails are handed in: by clients as JSON, by people on a page, which the link in the mail leads to.
// Specification: client-server API, `submit_url` of the requestToken endpoints; identity service API,
// GET and POST /validate/email/submitToken.

import { html } from 'hono/html'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import * as v from 'valibot'
import { isMatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { formFields } from '../http/form-body.ts'
import { checked, jsonBody, queryParams } from '../http/json-body.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import type { Validation } from '../storage/threepid-validations.ts'
import { submittedSession, submitToken } from '../threepid/validate-email.ts'
import { type Html, showPage } from '../web/page.ts'

const credentials = { sid: v.string(), token: v.string() }
const linkQuery = v.object(credentials)
const submitBody = v.object({ ...credentials, client_secret: v.string() })

/** GET and POST of the `submit_url`, POST of the page. */
export function submitTokenRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/identity-service-api/#post_matrixidentityv2validateemailsubmittoken
  app.post('/_matrix/client/unstable/hearth/email/submit_token', async (c) => {
    await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
    const { sid, token, client_secret: clientSecret } = await jsonBody(c, submitBody)
    await submitToken(c.env, { sid, token, clientSecret })
    return c.json({ success: true })
  })

  // Nothing is confirmed by looking: programs that scan mails follow every link.
  // https://spec.matrix.org/v1.19/identity-service-api/#get_matrixidentityv2validateemailsubmittoken
  app.get('/_matrix/client/unstable/hearth/email/submit_token', (c) =>
    orFailurePage(c, async () => {
      const submitted = queryParams(c, linkQuery)
      const validation = await submittedSession(c.env, submitted)
      return validation.validatedAt === null
        ? await confirmPage(c, validation, submitted)
        : await donePage(c, validation)
    }),
  )

  app.post('/_matrix/client/unstable/hearth/email/confirm', (c) =>
    orFailurePage(c, async () => {
      await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
      const submitted = checked(linkQuery, await formFields(c), 'M_INVALID_PARAM')
      const validation = await submitToken(c.env, submitted)
      // Who has confirmed must be sent on to where the client wants them.
      return validation.nextLink === null
        ? await donePage(c, validation)
        : c.redirect(validation.nextLink, 303)
    }),
  )
}

async function orFailurePage(c: AppContext, answer: () => Promise<Response>): Promise<Response> {
  try {
    return await answer()
  } catch (error) {
    if (!isMatrixError(error)) throw error
    const text =
      error.errcode === 'M_LIMIT_EXCEEDED'
        ? 'There were too many attempts. Please try again in a minute.'
        : 'This link is not valid, or not any more. Only that of the newest mail is; your application can have another one sent.'
    return await showPage(c, {
      title: 'This did not work',
      status: error.status as ContentfulStatusCode,
      content: () => html`<p role="alert">${text}</p>`,
    })
  }
}

const questions: Record<Validation['purpose'], { readonly title: string; readonly warning: string }> = {
  register: {
    title: 'Confirm your address',
    warning: 'Confirm only if you are registering an account yourself right now.',
  },
  password: {
    title: 'Reset your password',
    warning:
      'Confirm only if you asked for a new password yourself: whoever asked for it can set one as soon as you confirm.',
  },
  add: {
    title: 'Confirm your address',
    warning: 'Confirm only if you are adding this address to your account yourself right now.',
  },
}

async function confirmPage(
  c: AppContext,
  { purpose, address, nextLink }: Validation,
  { sid, token }: v.InferOutput<typeof linkQuery>,
): Promise<Response> {
  const { title, warning } = questions[purpose]
  const next = nextLink === null ? undefined : new URL(nextLink)
  return await showPage(c, {
    title,
    formTargets: next ? [next.origin] : [],
    content: () =>
      html`<form method="post" action="confirm">
        <p>Address: <b>${address}</b></p>
        <p>${warning}</p>
        ${next === undefined ? '' : html`<p>You are then sent on to <b>${next.host}</b>.</p>`}
        <input type="hidden" name="sid" value="${sid}" />
        <input type="hidden" name="token" value="${token}" />
        <button>Confirm</button>
      </form>`,
  })
}

async function donePage(c: AppContext, { nextLink }: Validation): Promise<Response> {
  const onwards: Html =
    nextLink === null
      ? html`<p>You can close this page and go back to your application.</p>`
      : html`<p><a href="${nextLink}">Continue at ${new URL(nextLink).host}</a></p>`
  return await showPage(c, { title: 'Confirmed', content: () => onwards })
}
