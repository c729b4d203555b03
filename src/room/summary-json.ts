// A room as directories, previews and spaces describe it to clients and to other servers.
// Specification: client-server API, "Published room directory" (PublishedRoomsChunk), "Room Summaries" (RoomSummary).

import type { RoomId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { RoomSummary } from '../storage/room-index.ts'

/** A room in a page of the directory. */
export function publishedRoomsChunk(room: RoomSummary): JsonObject {
  return {
    room_id: room.roomId,
    num_joined_members: room.joinedMembers,
    world_readable: room.worldReadable,
    guest_can_join: room.guestCanJoin,
    join_rule: room.joinRule,
    ...(room.name === null ? {} : { name: room.name }),
    ...(room.topic === null ? {} : { topic: room.topic }),
    ...(room.canonicalAlias === null ? {} : { canonical_alias: room.canonicalAlias }),
    ...(room.avatarUrl === null ? {} : { avatar_url: room.avatarUrl }),
    ...(room.type === null ? {} : { room_type: room.type }),
  }
}

/** A room on its own or in a space: the same, and what one needs to know before joining. */
export function roomSummaryJson(room: RoomSummary, allowedRoomIds: readonly RoomId[]): JsonObject {
  return {
    ...publishedRoomsChunk(room),
    // Since v1.15. Only restricted rooms name others.
    ...(allowedRoomIds.length === 0 ? {} : { allowed_room_ids: [...allowedRoomIds] }),
    ...(room.encryption === null ? {} : { encryption: room.encryption }),
    room_version: room.version,
  }
}
