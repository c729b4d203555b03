// The request that brings a transaction to its destination. Specification: server-server API, "Transactions".

import type { Env } from '../../env.ts'
import type { ServerName } from '../../matrix/event.ts'
import type { JsonObject } from '../../matrix/json.ts'
import { federationRequest } from '../client/request.ts'
import type { TransactionAnswer } from './context.ts'

const timeoutMs = 60_000

/** Sends a transaction. M_CONNECTION_FAILED, M_CONNECTION_TIMEOUT. */
export async function sendTransaction(
  env: Env,
  destination: ServerName,
  txnId: string,
  content: JsonObject,
): Promise<TransactionAnswer> {
  const path = `/_matrix/federation/v1/send/${txnId}`
  return await federationRequest(env, { destination, method: 'PUT', path, content, timeoutMs })
}
