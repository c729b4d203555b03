// What is asked of servers of ours while tests run, checked as it is answered. Where CONTRACT_DIR names a folder, the
// operations that were exercised are noted there for exercised.ts.

import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { threadId } from 'node:worker_threads'
import { type Exchange, check, type Violation } from './exchange.ts'
import { isOfProposal, slipOf } from './slips.ts'

// Beyond this, in characters, a body is not looked at: tests of limits send megabytes.
const maxLength = 1_000_000

const shownPerExchange = 5
const excerptLength = 200

const found: string[] = []
const noted = new Set<string>()

/** Checks a request and its answer, and remembers what is wrong. */
export function record(exchange: Exchange): void {
  if (isOfProposal(exchange.target)) return
  const { operation, violations } = check(withoutLong(exchange))
  if (operation !== undefined) note(`${operation}\t${exchange.answeredByUs ? exchange.status : 'asked'}`)
  const wrong = violations.filter((violation) => {
    const slip = slipOf(violation)
    if (slip) note(`slip\t${JSON.stringify(slip)}`)
    return !slip
  })
  found.push(...wrong.slice(0, shownPerExchange).map((violation) => line(violation, exchange)))
}

/** Throws what was wrong since it was last asked for, each once. */
export function refuseViolations(): void {
  const violations = new Set(found.splice(0))
  if (violations.size > 0)
    throw new Error(`not as the documents of the API have it:\n${[...violations].join('\n')}`)
}

function withoutLong(exchange: Exchange): Exchange {
  const long = (text: string | undefined) => text !== undefined && text.length > maxLength
  return {
    ...exchange,
    requestBody: long(exchange.requestBody) ? undefined : exchange.requestBody,
    body: long(exchange.body) ? undefined : exchange.body,
  }
}

function line(
  { operation, part, pointer, rule, message, found: value }: Violation,
  exchange: Exchange,
): string {
  const excerpt = (JSON.stringify(value) ?? 'nothing').slice(0, excerptLength)
  return `${operation}, ${part}: ${pointer} ${message} (${rule}), found ${excerpt} [${exchange.target.slice(0, 120)}]`
}

function note(text: string): void {
  const folder = process.env['CONTRACT_DIR']
  if (folder === undefined || noted.has(text)) return
  noted.add(text)
  appendFileSync(join(folder, `${process.pid}-${threadId}.tsv`), `${text}\n`)
}
