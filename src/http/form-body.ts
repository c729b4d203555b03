// What the forms of the server's own pages send.

import { MatrixError } from '../errors.ts'
import type { AppContext } from './app-type.ts'
import { boundedBody } from './bounded-body.ts'

const maxFormBytes = 64 * 1024

/** The fields of a form sent as application/x-www-form-urlencoded; the last of several counts. M_TOO_LARGE. */
export async function formFields(c: AppContext): Promise<Record<string, string>> {
  const bytes = await boundedBody(c.req.raw.body, maxFormBytes)
  if (bytes === undefined) throw new MatrixError('M_TOO_LARGE', 413, 'The form is too large')
  return Object.fromEntries(new URLSearchParams(new TextDecoder().decode(bytes)))
}
