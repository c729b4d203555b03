// `npm run bench`: how fast the server is, what operations cost on Cloudflare, and what that makes in a day.
// bench/README.md says how to read it.

import { parseArgs } from 'node:util'
import { dailyBill } from './bill.ts'
import { costNames, measureCosts, type Cost } from './costs.ts'
import { federationNames, measureFederation, measureFederationCosts } from './federation.ts'
import { joinNames, type JoinFigures, measureJoins } from './federation-join.ts'
import { measureRoomLists, roomListNames } from './room-list.ts'
import { measureSpeed, speedNames, type SpeedResult } from './speed.ts'
import { billTable, costTable, joinHead, joinRow, row, speedRow } from './tables.ts'

const help = `npm run bench -- [options]

  --only NAME   only what has NAME in its name, such as 'sync', 'speed', 'rooms', 'joins' or 'costs'
  --json        the figures as JSON
  --help        this text

speed: ${speedNames.join(', ')}
rooms: ${roomListNames.join(', ')}
federation: ${federationNames.join(', ')}
joins: ${joinNames.join(', ')}
costs: ${costNames.join(', ')}`

const sections = ['speed', 'rooms', 'federation', 'joins', 'costs']

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { only: { type: 'string', default: '' }, json: { type: 'boolean' }, help: { type: 'boolean' } },
  })
  if (values.help) return print(help)
  const { only, json = false } = values
  const say = json ? () => undefined : print

  const wanted = (section: string) => (sections.includes(only) ? only === section : true)
  const within = (section: string) => (only === section ? '' : only)
  const speed: SpeedResult[] = []
  const note = (result: SpeedResult) => {
    if (speed.length === 0) say(row('speed', ['p50', 'p95']))
    speed.push(result)
    say(speedRow(result))
  }
  if (wanted('speed')) await measureSpeed(within('speed'), note)
  if (wanted('rooms')) await measureRoomLists(within('rooms'), note)
  if (wanted('federation')) await measureFederation(within('federation'), note)
  const joins: JoinFigures[] = []
  if (wanted('joins')) {
    await measureJoins(within('joins'), (figures) => {
      if (joins.length === 0) say(`\n${joinHead}`)
      joins.push(figures)
      say(joinRow(figures))
    })
  }
  const costs: Cost[] = []
  if (wanted('costs')) {
    const most = await measureCosts(within('costs'), (cost) => costs.push(cost))
    await measureFederationCosts(within('costs'), (cost) => costs.push(cost))
    if (costs.length > 0) say(`\n${costTable(costs)}`)
    if (most) say(`most subrequests of one invocation: ${most.subrequests} (${most.invocation})`)
  }
  if (speed.length + joins.length + costs.length === 0) throw new Error(`nothing has '${only}' in its name`)
  const bill = dailyBill(costs)
  if (bill) say(`\n${billTable(bill)}`)
  if (json) print(JSON.stringify({ speed, joins, costs, ...(bill ? { bill } : {}) }, undefined, 2))
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

try {
  await main()
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
