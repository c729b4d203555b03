// What was wrong with a form, on the page that its reader gets once more.

import { html } from 'hono/html'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { isMatrixError } from '../errors.ts'
import type { Html } from './page.ts'

export interface Failure {
  readonly text: string
  readonly status: ContentfulStatusCode
}

/** What a reader can do something about: a MatrixError. Throws any other error anew. */
export function failureOf(error: unknown): Failure {
  if (!isMatrixError(error)) throw error
  return { text: error.message, status: error.status as ContentfulStatusCode }
}

/** What was wrong, where something was. */
export function failureText(failure: Pick<Failure, 'text'> | undefined): Html | '' {
  return failure === undefined ? '' : html`<p role="alert">${failure.text}</p>`
}
