// Bytes on their way to R2 whose number nobody knows in advance, which R2 wants to know: they go there in parts. The object
// is there as a whole or not at all.

import type { MatrixError } from '../errors.ts'

// R2 takes parts of at least 5 MiB, all of the same size but the last.
const partBytes = 8 * 1024 * 1024
// Most media is far smaller than a part.
const firstBytes = 64 * 1024

export interface SizeLimit {
  /** In bytes. */
  readonly limit: number
  /** The error for more than that. It is given what is left to read. */
  readonly refuse: (rest: AsyncIterator<Uint8Array>) => Promise<MatrixError>
}

/** Stores bytes under a key and returns how many. Nothing is stored where the bytes break off or are too many. */
export async function storeParts(
  bucket: R2Bucket,
  key: string,
  chunks: AsyncIterator<Uint8Array>,
  limit: SizeLimit,
): Promise<number> {
  const parts = splitParts(chunks, limit)
  const { value: first } = await parts.next()
  if (first === undefined || first.byteLength < partBytes) {
    // A part that is not full comes only when the bytes have ended.
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

async function* splitParts(
  chunks: AsyncIterator<Uint8Array>,
  { limit, refuse }: SizeLimit,
): AsyncGenerator<Uint8Array, undefined> {
  // One for all: a part was stored when the next one is asked for.
  let part = new Uint8Array(firstBytes)
  let filled = 0
  let total = 0
  for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
    total += next.value.byteLength
    if (total > limit) throw await refuse(chunks)
    let rest = next.value
    while (rest.byteLength > 0) {
      part = grown(part, filled + rest.byteLength)
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

function grown(part: Uint8Array<ArrayBuffer>, needed: number): Uint8Array<ArrayBuffer> {
  if (needed <= part.byteLength || part.byteLength === partBytes) return part
  const larger = new Uint8Array(Math.min(Math.max(part.byteLength * 2, needed), partBytes))
  larger.set(part)
  return larger
}
