// Relationships that clients may not form. Specification: client-server API, "Avoiding duplicate annotations",
// "Validation of m.thread relationships".

import { MatrixError } from '../errors.ts'
import { objectProperty, property } from '../matrix/json.ts'
import type { EventDraft } from './build-event.ts'
import type { RoomContext } from './context.ts'
import { findEvent } from './events.ts'
import { childEvent, childrenOf, relationOf } from './relations.ts'

/** Refuses a second annotation of the same kind (M_DUPLICATE_ANNOTATION) and threads within others (M_UNKNOWN). */
export function checkRelation(room: RoomContext, draft: EventDraft): void {
  const relation = relationOf(draft)
  if (relation?.relType === 'm.annotation') refuseDuplicate(room, draft, relation.parent)
  if (relation?.relType === 'm.thread') refuseNestedThread(room, relation.parent)
}

// A second one with the same type and key by the same user, unless the first was redacted.
function refuseDuplicate(room: RoomContext, { type, sender, content }: EventDraft, parent: string): void {
  const key = annotationKey(content)
  const again = childrenOf(room, parent, [], { threaded: false }).some(
    (row) =>
      row.rel_type === 'm.annotation' &&
      row.sender === sender &&
      row.type === type &&
      annotationKey(childEvent(room, row).event.content) === key,
  )
  if (again) throw new MatrixError('M_DUPLICATE_ANNOTATION', 400, 'The event has this annotation already')
}

function annotationKey(content: EventDraft['content']): unknown {
  return property(objectProperty(content, 'm.relates_to'), 'key')
}

// A thread cannot begin at an event that is the child of another.
function refuseNestedThread(room: RoomContext, parent: string): void {
  const root = findEvent(room, parent)
  if (root && relationOf(root.event)) {
    throw new MatrixError('M_UNKNOWN', 400, 'A thread cannot begin at an event that relates to another')
  }
}
