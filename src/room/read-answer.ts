// What the reading functions of a room give to the Worker: a finished body, since JSON text crosses cheaper than
// objects.

import type { Gap } from './gaps.ts'

export interface ReadAnswer {
  /** JSON text; bytes in a stream where it may exceed what one RPC carries. */
  readonly body: string | ReadableStream<Uint8Array>
  /** Whether the right to read rests on having been in the room: the Worker refuses then if the user forgot it. */
  readonly left: boolean
  /** The gap in the timeline that ended the page before it held anything: to be filled, then to be asked again. */
  readonly gap?: Gap
}

/** A stream of the UTF-8 bytes of text that is made while it is read. */
export function textStream(parts: Iterator<string>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  return new ReadableStream({
    type: 'bytes',
    pull(controller) {
      const { done, value } = parts.next()
      if (done) controller.close()
      else controller.enqueue(encoder.encode(value))
    },
  })
}
