// What there is to know of a user's keys: of this server or of another. Specification: client-server API, POST /keys/query.

import type { JsonObject } from '../matrix/json.ts'

/** The keys of a user as others see them, or as they see themselves. */
export interface UserKeys {
  /** Device id → identity keys with `unsigned`. */
  readonly devices: JsonObject
  readonly master?: JsonObject
  readonly selfSigning?: JsonObject
  /** For the user alone. */
  readonly userSigning?: JsonObject
}
