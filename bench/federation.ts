// What federation takes: events of another server coming in, and events going out to many. The other servers are simulated
// on loopback, in this process.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { federationTransport } from '../scripts/federation-transport.ts'
import type { JsonObject } from '../src/matrix/json.ts'
import { type Authority, makeAuthority } from '../test/support/certificates.ts'
import { loopbackNames } from '../test/support/federated-server.ts'
import { freePort, launch } from '../test/support/launcher.ts'
import { startServer, testServerName } from '../test/support/server.ts'
import { clientOf } from './client.ts'
import type { Cost } from './costs.ts'
import { type OtherServer, otherServers } from './other-servers.ts'
import { createRoom, register, say, type Person } from './people.ts'
import type { SpeedResult } from './speed.ts'
import { type Rate, timed, times } from './statistics.ts'

const many = 200
const pdusPerTransaction = 50

interface Measurement {
  readonly name: string
  readonly measure: (world: World) => Promise<SpeedResult['result']>
}

/** A server of ours under measurement, with a user. */
interface World {
  readonly alice: Person
  readonly authority: Authority
  readonly url: string
  readonly serverName: string
}

const measurements: readonly Measurement[] = [
  { name: 'federation: PDUs into one room', measure: (world) => incoming(world, 1) },
  { name: 'federation: PDUs into 20 rooms', measure: (world) => incoming(world, 20) },
  { name: `federation: message to ${many} servers`, measure: (world) => outgoing(world, 1) },
  { name: `federation: 20 messages to ${many} servers`, measure: (world) => outgoing(world, 20) },
]
const cost = `message to ${many} servers`

export const federationNames = [...measurements.map(({ name }) => name), `federation: ${cost}`]

/** Measures on a fresh server, those whose name contains `only`. */
export async function measureFederation(only: string, report: (result: SpeedResult) => void): Promise<void> {
  const chosen = measurements.filter(({ name }) => name.includes(only))
  if (chosen.length === 0) return
  const authority = makeAuthority()
  const data = mkdtempSync(join(tmpdir(), 'hearth-bench-'))
  const ca = join(data, 'ca.pem')
  writeFileSync(ca, authority.ca)
  const serverName = 'hearth.test'
  const port = String(await freePort())
  const options = [
    '--server-name',
    serverName,
    '--host',
    '127.0.0.1',
    '--port',
    port,
    '--data',
    join(data, 'data'),
  ]
  const open = ['--registration', 'open', '--rate-limits', 'off', '--key-notaries', '']
  const network = ['--extra-ca', ca, '--allow-private-networks', 'on']
  const server = await launch([...options, ...open, ...network])
  const client = clientOf(server.url)
  try {
    const alice = await register(client, 'alice')
    const world = { alice, authority, url: server.url, serverName }
    for (const { name, measure } of chosen) report({ name, result: await measure(world) })
  } finally {
    client.close()
    await server.end('SIGTERM')
    rmSync(data, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }
}

/** Counts what a message to many servers costs. */
export async function measureFederationCosts(only: string, report: (cost: Cost) => void): Promise<void> {
  if (!`federation: ${cost}`.includes(only)) return
  const authority = makeAuthority()
  const federation = federationTransport({
    extraCa: [authority.ca],
    allowPrivateNetworks: true,
    names: loopbackNames,
  })
  const server = await startServer({ federation, vars: { SESSION_CACHE: 'off', ROOM_ALARM_SECONDS: '1800' } })
  const client = clientOf(server.url)
  const alice = await register(client, 'alice')
  const world = { alice, authority, url: server.url, serverName: testServerName }
  const others = await otherServers(authority, many)
  try {
    const roomId = await roomOfAll(world, others)
    const counts = await server.measure(() => untilAllHave(alice, roomId, others, 1))
    report({ name: `federation: ${cost}`, counts })
  } finally {
    client.close()
    await others.stop()
    await server.stop()
  }
}

/** Transactions of one server, one after the other, into some rooms: events a second that were accepted. */
async function incoming(world: World, rooms: number): Promise<Rate> {
  const others = await otherServers(world.authority, 1)
  const [origin] = others.servers
  if (!origin) throw new Error('no other server')
  const perRoom = Math.ceil(3000 / rooms)
  const lines: JsonObject[][] = []
  for (let i = 0; i < rooms; i += 1) {
    const roomId = await createRoom(world.alice, { room_version: '11' })
    const { chain } = await origin.join(world, roomId)
    lines.push(chain(perRoom))
  }
  // As they would come: all rooms talk at the same time.
  const pdus = Array.from({ length: perRoom }, (_, i) => lines.flatMap((line) => line.slice(i, i + 1))).flat()
  const warm = pdus.splice(0, pdusPerTransaction * 4)
  const send = async (list: JsonObject[]) => {
    for (let at = 0; at < list.length; at += pdusPerTransaction) {
      await origin.send(world, list.slice(at, at + pdusPerTransaction))
    }
  }
  await send(warm)
  const ms = await timed(() => send(pdus))
  await others.stop()
  return { unit: '/s', rate: (pdus.length * 1000) / ms, runs: pdus.length }
}

/** Messages into a room of many servers: milliseconds until all of them have all of them. */
async function outgoing(world: World, messages: number) {
  const others = await otherServers(world.authority, many)
  const roomId = await roomOfAll(world, others)
  const once = () => timed(() => untilAllHave(world.alice, roomId, others, messages))
  await times(2, once)
  const result = await times(8, once)
  await others.stop()
  return result
}

type Others = Awaited<ReturnType<typeof otherServers>>

async function roomOfAll(world: World, others: Others): Promise<string> {
  const roomId = await createRoom(world.alice, { room_version: '11' })
  for (const server of others.servers) await server.join(world, roomId)
  await untilAllHave(world.alice, roomId, others, 1)
  return roomId
}

async function untilAllHave(alice: Person, roomId: string, others: Others, messages: number): Promise<void> {
  const sent: string[] = []
  for (let i = 0; i < messages; i += 1) sent.push(await say(alice, roomId))
  const last = sent.at(-1) ?? ''
  await Promise.all(others.servers.map((server: OtherServer) => server.has(last)))
}
