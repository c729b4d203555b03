// A request body on its way to R2. It is streamed: however large, only a piece of it is in memory.

import { MatrixError } from '../errors.ts'
import { storeParts } from './store-parts.ts'

/** Stores a body under a key and returns its size in bytes. 413 M_TOO_LARGE beyond `limit`, then nothing is stored. */
export async function storeBody(
  bucket: R2Bucket,
  key: string,
  request: Request,
  limit: number,
): Promise<number> {
  const { body } = request
  if (body === null) {
    await bucket.put(key, new Uint8Array())
    return 0
  }
  const refuse = async (rest: AsyncIterator<Uint8Array>) => {
    await discard(rest, limit)
    return tooLarge(limit)
  }
  const declared = request.headers.get('Content-Length')
  if (declared === null) {
    return await storeParts(bucket, key, body[Symbol.asyncIterator](), { limit, refuse })
  }
  const length = Number(declared)
  if (length > limit) throw await refuse(body[Symbol.asyncIterator]())
  const { readable, writable } = new FixedLengthStream(length)
  await Promise.all([body.pipeTo(writable), bucket.put(key, readable)])
  return length
}

// Reads on to the end, or for `limit` bytes. A client that is still sending when the connection closes sees no answer.
async function discard(chunks: AsyncIterator<Uint8Array>, limit: number): Promise<void> {
  for (let read = 0; read <= limit;) {
    const next = await chunks.next()
    if (next.done) return
    read += next.value.byteLength
  }
}

function tooLarge(limit: number): MatrixError {
  return new MatrixError('M_TOO_LARGE', 413, `Uploads can have at most ${limit} bytes`)
}
