// A request body on its way to R2. It is streamed: however large, only a piece of it is in memory.

import { MatrixError } from '../errors.ts'

// R2 takes parts of at least 5 MiB, all of the same size but the last.
const partBytes = 8 * 1024 * 1024

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
  const declared = request.headers.get('Content-Length')
  if (declared === null) return await storeParts(bucket, key, body, limit)
  const length = Number(declared)
  if (length > limit) {
    await discard(body[Symbol.asyncIterator](), limit)
    throw tooLarge(limit)
  }
  const { readable, writable } = new FixedLengthStream(length)
  await Promise.all([body.pipeTo(writable), bucket.put(key, readable)])
  return length
}

// R2 must know a length in advance, and without Content-Length nobody does.
async function storeParts(bucket: R2Bucket, key: string, body: ReadableStream<Uint8Array>, limit: number) {
  const parts = splitParts(body, limit)
  const { value: first } = await parts.next()
  if (first === undefined || first.byteLength < partBytes) {
    await bucket.put(key, first ?? new Uint8Array())
    return first?.byteLength ?? 0
  }
  const upload = await bucket.createMultipartUpload(key)
  try {
    const uploaded = [await upload.uploadPart(1, first)]
    let size = first.byteLength
    for await (const part of parts) {
      uploaded.push(await upload.uploadPart(uploaded.length + 1, part))
      size += part.byteLength
    }
    await upload.complete(uploaded)
    return size
  } catch (error) {
    await upload.abort()
    throw error
  }
}

async function* splitParts(body: ReadableStream<Uint8Array>, limit: number): AsyncGenerator<Uint8Array> {
  // One for all: a part was stored when the next one is asked for.
  const part = new Uint8Array(partBytes)
  let filled = 0
  let total = 0
  const chunks = body[Symbol.asyncIterator]()
  for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
    total += next.value.byteLength
    if (total > limit) {
      await discard(chunks, limit)
      throw tooLarge(limit)
    }
    let rest = next.value
    while (rest.byteLength > 0) {
      const fits = rest.subarray(0, partBytes - filled)
      part.set(fits, filled)
      filled += fits.byteLength
      rest = rest.subarray(fits.byteLength)
      if (filled < partBytes) continue
      yield part
      filled = 0
    }
  }
  if (filled > 0) yield part.subarray(0, filled)
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
