// The figures as text.

import { assumptions, freePlan, type Bill, type Usage } from './bill.ts'
import type { Cost } from './costs.ts'
import type { JoinFigures } from './federation-join.ts'
import type { SpeedResult } from './speed.ts'

const nameWidth = 38
const cellWidth = 12

/** A name and its cells, aligned. */
export function row(name: string, cells: readonly string[]): string {
  return name.padEnd(nameWidth) + cells.map((cell) => cell.padStart(cellWidth)).join('')
}

/** One measured speed. */
export function speedRow({ name, result }: SpeedResult): string {
  if (result.unit === 'ms') return row(name, [`${short(result.p50)} ms`, `${short(result.p95)} ms`])
  if (result.unit === '/s') return row(name, [`${Math.round(result.rate)} /s`])
  return row(name, [`${Math.round(result.value)} MB`])
}

export const joinHead = row('joins', ['time', 'CPU', 'events', 'rows', 'workerd', 'launcher'])

/** One join of a large room; the memory of workerd from before to its peak. */
export function joinRow(figures: JoinFigures): string {
  const { name, stateEvents, chainEvents, seconds, cpuSeconds, before, workerd, launcher, rowsWritten } =
    figures
  return row(name, [
    `${short(seconds)} s`,
    `${short(cpuSeconds)} s`,
    count(stateEvents + chainEvents),
    rowsWritten === undefined ? '' : count(rowsWritten),
    `${Math.round(before)}-${Math.round(workerd)} MB`,
    `${Math.round(launcher)} MB`,
  ])
}

/** All costs of one operation each. */
export function costTable(costs: readonly Cost[]): string {
  const head = row('costs of one', ['DO requests', 'written', 'read', 'D1 written', 'D1 read', 'subrequests'])
  const rows = costs.map(({ name, counts }) =>
    row(
      name,
      [
        counts.doRequests,
        counts.doRowsWritten,
        counts.doRowsRead,
        counts.d1RowsWritten,
        counts.d1RowsRead,
        counts.subrequests,
      ].map(short),
    ),
  )
  return [head, ...rows].join('\n')
}

/** The bill of a day with what it assumes. */
export function billTable({ lines, total }: Bill): string {
  return [
    'A day of five users in 50 federated rooms with 10,000 events, on the free plan. Assumed:',
    ...assumptions.map((assumption) => `- ${assumption}`),
    row('', ['times', 'Worker', 'DO requests', 'written', 'read', 'D1 written', 'D1 read']),
    ...lines.map(({ what, times, usage }) => row(what, [count(times), ...cells(usage).map(count)])),
    row('together', ['', ...cells(total).map(count)]),
    row('allowed', ['', ...cells(freePlan).map(count)]),
    row('share', ['', ...cells(total).map((used, i) => share(used, cells(freePlan)[i] ?? 0))]),
  ].join('\n')
}

function cells(usage: Usage): number[] {
  const { workerRequests, doRequests, doRowsWritten, doRowsRead, d1RowsWritten, d1RowsRead } = usage
  return [workerRequests, doRequests, doRowsWritten, doRowsRead, d1RowsWritten, d1RowsRead]
}

function count(value: number): string {
  return value.toLocaleString('en')
}

function share(used: number, allowed: number): string {
  return `${Math.round((100 * used) / allowed)} %`
}

function short(value: number): string {
  return value >= 100 || Number.isInteger(value)
    ? String(Math.round(value))
    : value.toFixed(value < 10 ? 2 : 1)
}
