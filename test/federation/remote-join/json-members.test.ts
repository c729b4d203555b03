import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type JsonMembersOptions,
  type JsonPiece,
  jsonMembers,
} from '../../../src/federation/remote-join/json-members.ts'

const utf8 = new TextEncoder()
const options: JsonMembersOptions = { lists: ['state', 'chain'], values: ['event'], maxPieceBytes: 1000 }

/** The pieces of a text that comes in parts of some lengths, again and again. */
function pieces(
  text: string,
  lengths: readonly number[] = [Infinity],
  over: Partial<JsonMembersOptions> = {},
) {
  const reader = jsonMembers({ ...options, ...over })
  const bytes = utf8.encode(text)
  const found: JsonPiece[] = []
  for (let at = 0, i = 0; at < bytes.length; i += 1) {
    const length = lengths[i % lengths.length] ?? 1
    found.push(...reader.feed(bytes.subarray(at, at + length)))
    at += length
  }
  reader.end()
  return found
}

/** What a whole parse gives of the same text. */
function expected(object: Record<string, unknown>): unknown[] {
  return Object.entries(object).flatMap(([key, value]) => {
    if (options.lists.includes(key) && Array.isArray(value)) return value.map((item: unknown) => [key, item])
    return options.values.includes(key) ? [[key, value]] : []
  })
}

const parsed = (found: JsonPiece[]) => found.map(({ key, text }) => [key, JSON.parse(text)])

const member = fc.oneof(fc.constantFrom('state', 'chain', 'event', 'other'), fc.string())
const value = fc.oneof(fc.array(fc.jsonValue()), fc.jsonValue(), fc.array(fc.object({ maxDepth: 2 })))
const document = fc
  .array(fc.tuple(member, value), { maxLength: 6 })
  .map((members) => new Map(members.map(([key, item]) => [key, JSON.parse(JSON.stringify(item))])))
const lengths = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 })

describe('a large object', () => {
  it('gives the same pieces as a whole parse, wherever its text is cut', () => {
    fc.assert(
      fc.property(document, lengths, fc.constantFrom(undefined, 1, '\t'), (members, cuts, space) => {
        const object = Object.fromEntries(members)
        const text = JSON.stringify(object, undefined, space)
        const found = pieces(text, cuts, { maxPieceBytes: 1_000_000 })
        expect(parsed(found)).toEqual(expected(object))
        const wrapped = pieces(`[200, ${text}]`, cuts, { maxPieceBytes: 1_000_000, wrapped: true })
        expect(wrapped).toEqual(found)
      }),
    )
  })

  it('gives the text of its pieces as it is', () => {
    expect(pieces('{"state":[ {"n":1.0} , "a,]\\"}" ],"event":{"é":[[]]}}', [1])).toEqual([
      { key: 'state', listed: true, text: ' {"n":1.0} ' },
      { key: 'state', listed: true, text: ' "a,]\\"}" ' },
      { key: 'event', listed: false, text: '{"é":[[]]}' },
    ])
  })

  it.each([
    ['another value', '[]'],
    ['a second object', '{}{}'],
    ['something before it', '1{}'],
    ['an end too early', '{"state":[{}'],
    ['an end too many', '{}}'],
    ['a list that ends as an object', '{"state":[}'],
    ['an object that ends as a list', '{"a":1]'],
    ['a key that is none', '{a:1}'],
    ['a number as a key', '{1:1}'],
    ['a member without a value', '{"a"}'],
    ['a comma at the end', '{"a":1,}'],
    ['two values', '[200,{}'],
  ])('is refused with %s', (_, text) => {
    expect(() => pieces(text)).toThrow(expect.objectContaining({ errcode: 'M_BAD_JSON' }))
    expect(() => pieces(text, [1])).toThrow(expect.objectContaining({ errcode: 'M_BAD_JSON' }))
  })

  it('leaves what is missing in a list to be found by whoever parses the pieces', () => {
    expect(pieces('{"state":[1,,2,]}').map(({ text }) => text)).toEqual(['1', '', '2', ''])
  })

  it('does not gather pieces without end, nor what nobody asked for', () => {
    const long = `"${'x'.repeat(2000)}"`
    for (const text of [`{"state":[${long}]}`, `{"event":${long}}`, `{${long}:1}`]) {
      expect(() => pieces(text, [100])).toThrow(expect.objectContaining({ errcode: 'M_TOO_LARGE' }))
    }
    expect(pieces(`{"other":[${long}],"state":[1]}`, [7])).toEqual([
      { key: 'state', listed: true, text: '1' },
    ])
  })

  it('is refused if it is no UTF-8', () => {
    const reader = jsonMembers(options)
    const text = Uint8Array.of(...utf8.encode('{"state":["'), 0xff, ...utf8.encode('"]}'))
    expect(() => reader.feed(text)).toThrow(expect.objectContaining({ errcode: 'M_BAD_JSON' }))
  })
})
