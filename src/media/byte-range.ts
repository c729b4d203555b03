// The Range header of HTTP, RFC 9110 section 14.

export interface ByteRange {
  readonly offset: number
  readonly length: number
}

/**
 * The part of `size` bytes that a Range header asks for. Undefined when there is no header, or one that a server may
 * leave unheeded: other units, several ranges, no valid syntax.
 */
export function readRange(header: string | null, size: number): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '')
  const [, first = '', last = ''] = match ?? []
  if (first === '' && last === '') return undefined
  if (first === '') return suffix(Number(last), size)
  const offset = Number(first)
  if (last !== '' && Number(last) < offset) return undefined
  if (offset >= size) return 'unsatisfiable'
  const end = last === '' ? size : Math.min(Number(last) + 1, size)
  return { offset, length: end - offset }
}

function suffix(length: number, size: number): ByteRange | 'unsatisfiable' {
  if (length === 0 || size === 0) return 'unsatisfiable'
  const offset = Math.max(0, size - length)
  return { offset, length: size - offset }
}
