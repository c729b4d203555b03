// Which requests are one and the same, sent again. Specification: client-server API, "Transaction identifiers".

import type { AppContext } from '../http/app-type.ts'
import type { Session } from '../http/session.ts'
import type { ClientTransaction, TransactionScope } from '../room/client-event.ts'
import { textParam } from './path-params.ts'

/** The transaction of a request whose path ends with its id. `path` is what of it comes after the room and before that. */
export function clientTransaction(c: AppContext, path: string): ClientTransaction {
  return { ...transactionScope(c.var.session), txnId: textParam(c, 'txnId'), path }
}

/** Since v1.7: transaction ids are those of a device. Without one, they are those of an application service. */
function transactionScope(session: Session): TransactionScope {
  if (!session.appservice) return { deviceId: session.device.deviceId }
  const { device, appservice } = session
  return device ? { deviceId: device.deviceId } : { appserviceId: appservice.id }
}
