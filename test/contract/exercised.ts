// Which of the endpoints that are served no test has used, after a whole run of the tests: `node exercised.ts FOLDER`, with
// the notes that the recorder made there. Ends with status 1 if there are any, or entries of slips.ts that nothing needs.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { appRoutes, coverage, readEndpoints } from '../../scripts/coverage.ts'
import { documentsAreHere } from './documents.ts'
import { neverExercised, readNotes } from './notes.ts'
import { alwaysRefused, slips } from './slips.ts'

function main(folder: string): void {
  if (!documentsAreHere) {
    console.log(
      'skipped: without ../shared/spec there were no OpenAPI documents to hold requests and answers against',
    )
    return
  }
  const lines = readdirSync(folder).flatMap((file) =>
    readFileSync(join(folder, file), 'utf8').trim().split('\n'),
  )
  const notes = readNotes(lines)
  const served = coverage(readEndpoints(), appRoutes())
    .flatMap((module) => module.served)
    // Those whose path the server chooses have no document: test/oauth is what tries them.
    .filter(({ path }) => path.startsWith('/'))
    .map(({ method, path }) => `${method} ${path}`)
  const never = neverExercised(served, notes)
  for (const name of never) console.log(`never exercised: ${name}`)
  const stale = [
    ...slips.filter((slip) => !notes.slips.has(JSON.stringify(slip))).map((slip) => JSON.stringify(slip)),
    ...Object.keys(alwaysRefused).filter((name) => notes.succeeded.has(name)),
  ]
  for (const entry of stale) console.log(`an entry of slips.ts that is not needed: ${entry}`)
  console.log(`${served.length - never.length} of ${served.length} endpoints exercised`)
  if (never.length + stale.length > 0) process.exitCode = 1
}

if (import.meta.main) main(process.argv[2] ?? '')
