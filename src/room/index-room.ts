// Telling D1 what the room directory, search and previews need to know of a room.

import type { RoomContext } from './context.ts'

export function indexIsTold(_room: RoomContext): boolean {
  return true
}

export async function tellIndex(_room: RoomContext): Promise<void> {}
