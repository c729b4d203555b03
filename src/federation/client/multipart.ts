// Answers of two parts: what the media is, and the media. They are read as they come in.
// Server-server API, "Content Repository"; RFC 2046, section 5.1.

/** The second part: its headers, names in lower case, and its bytes as they come. */
export interface SecondPart {
  readonly headers: ReadonlyMap<string, string>
  /** Throws where the answer ends before the part does. */
  readonly content: AsyncGenerator<Uint8Array, undefined>
}

const mostBytesBefore = 64 * 1024

/** The boundary that a Content-Type names, if it is one of several parts. */
export function boundaryOf(contentType: string | null): string | undefined {
  const match = /^multipart\/mixed\s*;(?:.*;)?\s*boundary=(?:"([^"]*)"|([^\s;"]+))/i.exec(contentType ?? '')
  const boundary = match?.[1] ?? match?.[2] ?? ''
  return /^[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]$/.test(boundary) ? boundary : undefined
}

/** Reads up to the content of the second part. Throws an Error that says what is wrong with the form. */
export async function secondPart(chunks: AsyncGenerator<Uint8Array>, boundary: string): Promise<SecondPart> {
  const delimiter = Buffer.from(`\r\n--${boundary}`)
  // The first delimiter may be the very beginning.
  const source: Source = { buffered: Buffer.from('\r\n'), chunks }
  try {
    await readUntil(source, delimiter)
    await readUntil(source, delimiter)
    // What follows a delimiter: the end of its line, headers, an empty line.
    const lines = (await readUntil(source, Buffer.from('\r\n\r\n'))).toString('utf8').split('\r\n')
    const [restOfLine = '', ...fields] = lines
    if (restOfLine.trim() !== '') throw new Error('its answer has one part only')
    return { headers: new Map(fields.flatMap(field)), content: contentUntil(source, delimiter) }
  } catch (error) {
    await chunks.return(undefined)
    throw error
  }
}

interface Source {
  buffered: Buffer
  readonly chunks: AsyncGenerator<Uint8Array>
}

async function more(source: Source): Promise<void> {
  const next = await source.chunks.next()
  if (next.done) throw new Error('its answer breaks off')
  source.buffered = Buffer.concat([source.buffered, next.value])
}

async function readUntil(source: Source, marker: Buffer): Promise<Buffer> {
  for (;;) {
    const at = source.buffered.indexOf(marker)
    if (at !== -1 && at <= mostBytesBefore) {
      const before = source.buffered.subarray(0, at)
      source.buffered = source.buffered.subarray(at + marker.length)
      return before
    }
    if (source.buffered.length > mostBytesBefore) throw new Error('its answer has no second part')
    await more(source)
  }
}

async function* contentUntil(source: Source, delimiter: Buffer): AsyncGenerator<Uint8Array, undefined> {
  try {
    for (;;) {
      const at = source.buffered.indexOf(delimiter)
      if (at !== -1) {
        if (at > 0) yield source.buffered.subarray(0, at)
        return
      }
      // The delimiter may have begun at the end of what is there.
      const certain = source.buffered.length - delimiter.length + 1
      if (certain > 0) {
        yield source.buffered.subarray(0, certain)
        source.buffered = source.buffered.subarray(certain)
      }
      await more(source)
    }
  } finally {
    await source.chunks.return(undefined)
  }
}

function field(line: string): [string, string][] {
  const colon = line.indexOf(':')
  return colon > 0 ? [[line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()]] : []
}
