import { describe, expect, test } from 'vitest'
import { parseXMatrix } from '../../src/http/x-matrix-header.ts'

const one = { origin: 'a.test', destination: 'b.test', keyId: 'ed25519:1', signature: 'c2ln' }

describe('credentials are read', () => {
  test.each([
    ['as servers send them', 'X-Matrix origin="a.test",destination="b.test",key="ed25519:1",sig="c2ln"'],
    ['in any order', 'X-Matrix sig="c2ln",key="ed25519:1",destination="b.test",origin="a.test"'],
    ['without quotes', 'X-Matrix origin=a.test,destination=b.test,key="ed25519:1",sig=c2ln'],
    ['with a colon without quotes', 'X-Matrix origin=a.test,destination=b.test,key=ed25519:1,sig=c2ln'],
    ['in any case', 'x-mATRIX Origin=a.test,DESTINATION="b.test",Key="ed25519:1",sIg="c2ln"'],
    ['with white space', 'X-Matrix   origin=a.test \t,\t destination="b.test", key="ed25519:1" ,sig=c2ln  '],
    ['with white space around =', 'X-Matrix origin = a.test,destination= "b.test",key ="ed25519:1",sig=c2ln'],
    ['with escapes', String.raw`X-Matrix origin="\a.t\est",destination="b.test",key="ed25519:1",sig="c2ln"`],
    [
      'with unknown parameters',
      'X-Matrix origin=a.test,x="1,\\"y",destination=b.test,key=ed25519:1,sig=c2ln',
    ],
    ['with the name of the list', 'X-Matrix origin=a.test,destination=b.test,key=ed25519:1,signature=c2ln'],
  ])('%s', (_, header) => {
    expect(parseXMatrix(header)).toEqual([one])
  })

  test('without a destination, from older servers', () => {
    const { destination: _, ...rest } = one
    expect(parseXMatrix('X-Matrix origin=a.test,key="ed25519:1",sig="c2ln"')).toEqual([rest])
  })

  test('several at once, as headers are joined', () => {
    const header =
      'X-Matrix origin=a.test,destination=b.test,key=ed25519:1,sig=c2ln, X-Matrix origin="a.test",key="ed25519:2",sig="x/y+"'
    expect(parseXMatrix(header)).toEqual([one, { origin: 'a.test', keyId: 'ed25519:2', signature: 'x/y+' }])
  })

  test('IPv6 literals in quotes', () => {
    const header = 'X-Matrix origin="[::1]:8448",key="ed25519:1",sig="c2ln"'
    expect(parseXMatrix(header)?.[0]?.origin).toBe('[::1]:8448')
  })
})

describe('anything else is refused', () => {
  test.each([
    ['nothing', ''],
    ['a scheme alone', 'X-Matrix'],
    ['a scheme with a space', 'X-Matrix '],
    ['an access token', 'Bearer abc'],
    ['another scheme with parameters', 'Digest origin=a.test,key=ed25519:1,sig=c2ln'],
    ['an access token beside it', 'X-Matrix origin=a.test,key=ed25519:1,sig=c2ln, Bearer abc'],
    ['another scheme beside it', 'X-Matrix origin=a.test,key=ed25519:1,sig=c2ln, Digest a=b'],
    ['no scheme', 'origin=a.test,key=ed25519:1,sig=c2ln'],
    ['no space after the scheme', 'X-Matrixorigin=a.test,key=ed25519:1,sig=c2ln'],
    ['no origin', 'X-Matrix key=ed25519:1,sig=c2ln'],
    ['an origin that is no server name', 'X-Matrix origin="a b",key=ed25519:1,sig=c2ln'],
    ['an empty origin', 'X-Matrix origin="",key=ed25519:1,sig=c2ln'],
    ['no key', 'X-Matrix origin=a.test,sig=c2ln'],
    ['another algorithm', 'X-Matrix origin=a.test,key=rsa:1,sig=c2ln'],
    ['no signature', 'X-Matrix origin=a.test,key=ed25519:1'],
    ['a parameter twice', 'X-Matrix origin=a.test,origin=b.test,key=ed25519:1,sig=c2ln'],
    ['a parameter twice, in another case', 'X-Matrix origin=a.test,ORIGIN=b.test,key=ed25519:1,sig=c2ln'],
    ['an open quotation mark', 'X-Matrix origin="a.test,key=ed25519:1,sig=c2ln'],
    ['a slash without quotes', 'X-Matrix origin=a.test,key=ed25519:1,sig=a/b'],
    ['an equals sign without quotes', 'X-Matrix origin=a.test,key=ed25519:1,sig=c2ln='],
    ['a comma at the end', 'X-Matrix origin=a.test,key=ed25519:1,sig=c2ln,'],
    ['two commas', 'X-Matrix origin=a.test,,key=ed25519:1,sig=c2ln'],
    ['no comma', 'X-Matrix origin=a.test key=ed25519:1,sig=c2ln'],
    ['something after a quoted value', 'X-Matrix origin="a.test"x,key=ed25519:1,sig=c2ln'],
    ['too many', Array(11).fill('X-Matrix origin=a.test,key=ed25519:1,sig=c2ln').join(', ')],
  ])('%s', (_, header) => {
    expect(parseXMatrix(header)).toBeUndefined()
  })
})
