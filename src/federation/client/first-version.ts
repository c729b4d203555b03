// The first version of endpoints whose answer is a list: the status, then the object that the second version answers with.
// Server-server API, "Inviting to a room" and "Leaving Rooms", v1.

import { boundedBody } from '../../http/bounded-body.ts'
import { isJsonObject, type JsonObject } from '../../matrix/json.ts'
import type { FederationAnswer, FederationCall } from './request.ts'
import { unreachable } from './transport.ts'

const maxBytes = 1024 * 1024

/** Sends a request by `fetch` and reads the answer, errors too, which are objects. 502 M_CONNECTION_FAILED. */
export async function firstVersionRequest(
  fetch: (call: FederationCall) => Promise<Response>,
  call: FederationCall,
): Promise<Pick<FederationAnswer, 'status' | 'body'>> {
  const response = await fetch(call)
  const bytes = await boundedBody(response.body, maxBytes)
  const body = objectIn(new TextDecoder().decode(bytes ?? new Uint8Array()))
  if (body) return { status: response.status, body }
  if (response.ok) throw unreachable(call.destination, 'its answer is no JSON object')
  return { status: response.status, body: {} }
}

function objectIn(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    const object: unknown = Array.isArray(value) ? value[1] : value
    return isJsonObject(object) ? object : undefined
  } catch {
    return undefined
  }
}
