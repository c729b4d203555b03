// The time that application services give to events. Specification: application service API, "Timestamp massaging".

import { MatrixError } from '../errors.ts'
import type { AppContext } from '../http/app-type.ts'
import { validityMs } from '../keys/key-answer.ts'
import type { EventDraft } from '../room/build-event.ts'

/**
 * The time of an event in milliseconds, as an application service gives it: for others the parameter is none. 400
 * M_INVALID_PARAM for what no event can have as its time.
 */
export function timestampParam(c: AppContext): Pick<EventDraft, 'origin_server_ts'> {
  const text = c.req.query('ts')
  if (text === undefined || !c.var.session.appservice) return {}
  const timestamp = /^\d{1,16}$/.test(text) ? Number(text) : undefined
  if (timestamp === undefined || !Number.isSafeInteger(timestamp)) {
    throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter ts: not a time in milliseconds')
  }
  // A signature counts where its key does at the time of the event. Other servers would drop one that is of later, and all that
  // builds upon it would have a gap.
  if (timestamp <= Date.now() + validityMs) return { origin_server_ts: timestamp }
  throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter ts: more than a day from now')
}
