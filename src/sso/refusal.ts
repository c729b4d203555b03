// Why a sign-in comes to nothing, and what its user is told.
// Specification: client-server API, "SSO client login/authentication".

import { html } from 'hono/html'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { isMatrixError } from '../errors.ts'
import type { AppContext } from '../http/app-type.ts'
import { log } from '../log.ts'
import { showPage } from '../web/page.ts'

export type RefusalReason =
  | 'not-configured'
  | 'unknown-provider'
  | 'provider-unreachable'
  | 'provider-refused'
  | 'cancelled'
  | 'invalid-answer'
  | 'unknown-attempt'
  | 'another-browser'
  | 'answered-before'
  | 'no-account'
  | 'another-account'
  | 'locked'
  | 'deactivated'
  | 'stage-over'

/** `detail` is for the log: never a token, a code or a claim. */
export class SsoRefusal extends Error {
  readonly reason: RefusalReason
  readonly detail: string | undefined

  constructor(reason: RefusalReason, detail?: string) {
    super(`single sign-on refused: ${reason}`)
    this.name = 'SsoRefusal'
    this.reason = reason
    this.detail = detail
  }
}

interface Told {
  readonly status: ContentfulStatusCode
  readonly text: string
}

const again = 'Please start again in your application.'

const told: Readonly<Record<RefusalReason, Told>> = {
  'not-configured': { status: 404, text: 'This server has no single sign-on.' },
  'unknown-provider': {
    status: 404,
    text: 'This server does not know what you wanted to sign in with. Please go back to your application.',
  },
  'provider-unreachable': {
    status: 502,
    text: 'The service you wanted to sign in with does not answer. Please try again later.',
  },
  'provider-refused': {
    status: 502,
    text: `The service you wanted to sign in with did not accept the request of this server. ${again}`,
  },
  cancelled: {
    status: 403,
    text: 'You did not sign in. You can close this page, or start again in your application.',
  },
  'invalid-answer': {
    status: 502,
    text: `The service you wanted to sign in with gave an answer that cannot be trusted. ${again}`,
  },
  'unknown-attempt': { status: 403, text: `This page has expired. ${again}` },
  'another-browser': {
    status: 403,
    text: `This sign-in was begun in another browser, or your browser keeps no cookies of this server. ${again}`,
  },
  'answered-before': { status: 403, text: `This page was opened before. ${again}` },
  'no-account': {
    status: 403,
    text: 'You have no account on this server, and it makes none for those who sign in this way.',
  },
  'another-account': {
    status: 403,
    text: 'You signed in as somebody else than the owner of the account that is to be confirmed. Nothing was done.',
  },
  locked: { status: 403, text: 'Your account is locked. Please ask those who run this server.' },
  deactivated: { status: 403, text: 'Your account was deactivated.' },
  'stage-over': {
    status: 403,
    text: 'There is nothing to confirm any more. Please go back to your application.',
  },
}

/** Answers, or shows why not. Matrix errors, such as that there were too many requests, become pages too. */
export async function orRefusalPage(c: AppContext, answer: () => Promise<Response>): Promise<Response> {
  try {
    return await answer()
  } catch (error) {
    if (isMatrixError(error)) return await page(c, error.status as ContentfulStatusCode, error.message)
    if (!(error instanceof SsoRefusal)) throw error
    const { reason, detail } = error
    log({ event: 'sso_refused', reason, ...(detail === undefined ? {} : { detail }) })
    return await page(c, told[reason].status, told[reason].text)
  }
}

async function page(c: AppContext, status: ContentfulStatusCode, text: string): Promise<Response> {
  return await showPage(c, {
    title: 'This did not work',
    status,
    content: () => html`<p role="alert">${text}</p>`,
  })
}
