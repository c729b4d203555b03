// Prints how many tests passed and failed in a report of vitest's JSON reporter, for test.sh.
// A file that could not be run counts as one failed test.

import { readFileSync } from 'node:fs'

interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly testResults: readonly {
    readonly status: string
    readonly assertionResults: readonly { readonly status: string }[]
  }[]
}

const report: Report = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'))
const brokenFiles = report.testResults.filter(
  ({ status, assertionResults }) =>
    status === 'failed' && assertionResults.every((test) => test.status !== 'failed'),
)
console.log(`${report.numPassedTests} ${report.numFailedTests + brokenFiles.length}`)
