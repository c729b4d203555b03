import { expect, it } from 'vitest'
import { acceptedLanguages, bestLanguage } from '../../src/web/accepted-languages.ts'

it.each([
  [undefined, []],
  ['', []],
  ['de', ['de']],
  ['da, en-GB;q=0.8, en;q=0.7', ['da', 'en-GB', 'en']],
  ['en;q=0.7, de-CH, fr;q=0', ['de-CH', 'en']],
  ['*, <b>, en; q=1.0', ['en']],
  ['en;q=high', []],
])('reads %j as %j', (header, tags) => {
  expect(acceptedLanguages(header)).toEqual(tags)
})

it.each([
  [['en', 'fr'], ['fr'], 'fr'],
  [['en', 'fr'], ['fr-CH'], 'fr'],
  [['en', 'pt_BR', 'pt'], ['PT-br'], 'pt_BR'],
  [['de', 'en'], ['it'], 'en'],
  [['de', 'fr'], [], 'de'],
  [[], ['de'], undefined],
])('of %j offers readers of %j %j', (offered, accepted, best) => {
  expect(bestLanguage(offered, accepted)).toBe(best)
})
