// What this project was founded on names proposals that the server must act upon: each has a test under its number, or is
// the business of a module that comes later. The table itself lies beside the project, and is not there everywhere.

import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { projectRoot } from '../../scripts/bundle.ts'
import { appRoutes } from '../../scripts/coverage.ts'

const table = join(projectRoot, '../shared/spec/required.md')

// Modules of their own, which bring their tests along.
const elsewhere: Readonly<Record<string, string>> = {}

/** Numbers of the proposals in section A that a server must act upon. */
function required(): string[] {
  const [, section = ''] = readFileSync(table, 'utf8').split(/^## /m)
  return section.split('\n').flatMap((line) => {
    const [, number, , kind = ''] = line.split('|').map((cell) => cell.trim())
    const [digits] = /^\d{4}/.exec(number ?? '') ?? []
    return digits !== undefined && kind.startsWith('S') ? [digits] : []
  })
}

/** Numbers in the names of tests: in texts, outside of comments. */
function tested(): Set<string> {
  const files = globSync('test/**/*.ts', { cwd: projectRoot })
  const lines = files.flatMap((file) => readFileSync(join(projectRoot, file), 'utf8').split('\n'))
  const names = lines
    .filter((line) => !line.trim().startsWith('//'))
    .flatMap((line) => [...line.matchAll(/['"`][^'"`]*\bMSC\d{4}\b[^'"`]*['"`]/g)].map(([text]) => text))
  return new Set(
    names.flatMap((name) => [...name.matchAll(/\bMSC(\d{4})\b/g)].map(([, digits = '']) => digits)),
  )
}

if (existsSync(table)) {
  it('each proposal that a server must act upon has a test under its number', () => {
    const numbers = required()
    // The table has been read.
    expect(numbers.length).toBeGreaterThan(40)
    const names = tested()
    expect(numbers.filter((number) => !names.has(number) && !(number in elsewhere))).toEqual([])
  })

  it('what is left to other modules is of the table, and is not tested yet', () => {
    const [numbers, names] = [required(), tested()]
    expect(Object.keys(elsewhere).filter((number) => !numbers.includes(number) || names.has(number))).toEqual(
      [],
    )
  })
}

it.each([
  ['POST', 'client/unstable/org.matrix.msc3720/account_status'],
  ['POST', 'federation/unstable/org.matrix.msc3720/account_status'],
  ['GET', 'client/unstable/im.nheko.summary/summary/:roomIdOrAlias'],
  ['GET', 'client/unstable/im.nheko.summary/rooms/:roomIdOrAlias/summary'],
  ['GET', 'client/unstable/uk.tcpip.msc4133/profile/:userId/:keyName'],
  ['PUT', 'client/unstable/uk.tcpip.msc4133/profile/:userId/:keyName'],
  ['DELETE', 'client/unstable/uk.tcpip.msc4133/profile/:userId/:keyName'],
  ['GET', 'client/unstable/org.matrix.msc3916/media/download/:serverName/:mediaId'],
  ['GET', 'client/unstable/org.matrix.msc3916/media/thumbnail/:serverName/:mediaId'],
  ['GET', 'client/unstable/org.matrix.msc3916/media/config'],
  ['GET', 'federation/unstable/org.matrix.msc3916.v2/media/download/:mediaId'],
  ['GET', 'federation/unstable/org.matrix.msc3916.v2/media/thumbnail/:mediaId'],
  ['POST', 'client/unstable/org.matrix.msc4151/rooms/:roomId/report'],
  ['POST', 'client/unstable/org.matrix.msc4260/users/:userId/report'],
  ['GET', 'client/unstable/uk.timedout.msc4323/admin/suspend/:userId'],
  ['PUT', 'client/unstable/uk.timedout.msc4323/admin/lock/:userId'],
])('serves the unstable %s %s', (method, path) => {
  expect(appRoutes()).toContainEqual({ method, path: `/_matrix/${path}` })
})
