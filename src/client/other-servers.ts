// What needs another server. Federation is not built: each of these says so, and is where it will come in.

import { MatrixError } from '../errors.ts'
import type { RoomAlias, RoomId, UserId } from '../matrix/event.ts'

const unreachable = 'this server cannot reach other servers'

/** Invites a user of another server. M_FORBIDDEN. */
export function inviteRemoteUser(userId: UserId): never {
  throw new MatrixError('M_FORBIDDEN', 403, `${userId} cannot be invited: ${unreachable}`)
}

/** Finds the room of another server's alias. M_NOT_FOUND. */
export function resolveRemoteAlias(alias: RoomAlias): Promise<RoomId> {
  throw new MatrixError('M_NOT_FOUND', 404, `${alias} cannot be resolved: ${unreachable}`)
}

/** The published room directory of another server. M_NOT_FOUND. */
export function remoteDirectory(serverName: string): never {
  throw new MatrixError(
    'M_NOT_FOUND',
    404,
    `The room directory of ${serverName} is out of reach: ${unreachable}`,
  )
}
