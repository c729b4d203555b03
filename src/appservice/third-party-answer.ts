// Answers of application services to questions about third-party networks: those that fail do not keep others from answering.
// Specification: application service API, "Third-party networks".

import { log } from '../log.ts'
import { isMatrixError } from '../errors.ts'
import type { Appservice } from './registration.ts'
import { appserviceRequest } from './request.ts'

const timeoutMs = 10_000

/** The JSON that an application service answers with; undefined where it has no URL, does not know or does not answer. */
export async function parsedAnswer(
  appservice: Appservice,
  path: string,
  query = new URLSearchParams(),
): Promise<unknown> {
  if (appservice.url === undefined) return undefined
  try {
    const { status, text } = await appserviceRequest(appservice, { method: 'GET', path, query, timeoutMs })
    return status === 200 ? JSON.parse(text) : undefined
  } catch (error) {
    // Not what a parser says: that cites the answer.
    const reason = error instanceof SyntaxError ? 'no JSON' : isMatrixError(error) ? error.message : undefined
    if (reason === undefined) throw error
    log({ event: 'appservice_answer_refused', appservice: appservice.id, path, error: reason })
    return undefined
  }
}
