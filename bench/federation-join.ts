// How long joins of large rooms of other servers take, how much memory they need, and how many rows they write. A server in this
// process makes the room up, signs it and lets ours in, and is all the servers of its members: see test/support/resident.ts.

import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pidFile } from '../scripts/runtime.ts'
import { startServer } from '../test/clients/launcher.ts'
import { type Authority, makeAuthority } from '../test/support/certificates.ts'
import { startFederatedServer } from '../test/support/federated-server.ts'
import { type LargeRoom, largeRoom } from '../test/support/large-room.ts'
import { freePort } from '../test/support/launcher.ts'
import { type Resident, startResident } from '../test/support/resident.ts'
import { newClient } from '../test/support/room-client.ts'
import { clientOf } from './client.ts'
import { call, register } from './people.ts'
import { timed } from './statistics.ts'

export interface JoinFigures {
  readonly name: string
  /** Events of the state, and others that those rest upon. */
  readonly stateEvents: number
  readonly chainEvents: number
  /** From the request to its answer. */
  readonly seconds: number
  /** Of the processor, by workerd: what else the machine does changes it little. */
  readonly cpuSeconds: number
  /** The most memory that workerd had, and that the launcher had, in megabytes; and workerd before the join. */
  readonly workerd: number
  readonly launcher: number
  readonly before: number
  /** Rows of Durable Objects written by the same join; left out where they were not counted. */
  readonly rowsWritten?: number
}

interface Case {
  readonly name: string
  readonly members: number
  readonly servers: number
  /** Whether the room's first server is a notary that knows all keys. */
  readonly notary: boolean
  /** Whether rows are counted too, in a second run. */
  readonly rows: boolean
}

const cases: readonly Case[] = [
  { name: 'join of 10,000 members', members: 10_000, servers: 300, notary: true, rows: true },
  { name: 'join of 10,000 members, no notary', members: 10_000, servers: 300, notary: false, rows: false },
  { name: 'join of 50,000 members', members: 50_000, servers: 600, notary: true, rows: false },
]

export const joinNames = cases.map(({ name }) => name)

/** Measures those whose name contains `only`, each on a fresh server. */
export async function measureJoins(only: string, report: (figures: JoinFigures) => void): Promise<void> {
  const chosen = cases.filter(({ name }) => name.includes(only))
  if (chosen.length === 0) return
  const authority = makeAuthority()
  const folder = await mkdtemp(join(tmpdir(), 'hearth-bench-'))
  try {
    const extraCa = join(folder, 'ca.pem')
    await writeFile(extraCa, authority.ca)
    for (const one of chosen) report(await measureJoin(one, authority, extraCa))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function measureJoin(one: Case, authority: Authority, extraCa: string): Promise<JoinFigures> {
  const resident = await startResident(authority, one.servers)
  try {
    const room = largeRoom(resident.origins, one.members)
    resident.let(room)
    const notaries = one.notary ? resident.serverName : ''
    const { name } = one
    const { stateEvents, chainEvents } = room
    const measured = await timeAndMemory(resident, room, { 'key-notaries': notaries, 'extra-ca': extraCa })
    const rows = one.rows ? { rowsWritten: await rowsWritten(authority, resident, room, notaries) } : {}
    return { name, stateEvents, chainEvents, ...measured, ...rows }
  } finally {
    await resident.stop()
  }
}

function pathTo({ roomId }: LargeRoom, { serverName }: Resident): string {
  return `/join/${encodeURIComponent(roomId)}?via=${encodeURIComponent(serverName)}`
}

async function timeAndMemory(
  resident: Resident,
  room: LargeRoom,
  options: Readonly<Record<string, string>>,
): Promise<Pick<JoinFigures, 'seconds' | 'cpuSeconds' | 'workerd' | 'launcher' | 'before'>> {
  const server = await startServer({
    // No other server asks this one for anything.
    'server-name': `127.0.0.1:${await freePort()}`,
    'allow-private-networks': 'on',
    ...options,
  })
  const client = clientOf(server.url)
  try {
    const alice = await register(client, 'alice')
    const workerd = readFileSync(pidFile(server.data), 'utf8').trim()
    const before = mostMemory(workerd)
    const cpuBefore = cpuTime(workerd)
    const milliseconds = await timed(() => call(alice, 'POST', pathTo(room, resident), {}))
    const cpuSeconds = cpuTime(workerd) - cpuBefore
    const launcher = mostMemory(String(server.pid()))
    return { seconds: milliseconds / 1000, cpuSeconds, workerd: mostMemory(workerd), launcher, before }
  } finally {
    client.close()
    await server.remove()
  }
}

async function rowsWritten(
  authority: Authority,
  resident: Resident,
  room: LargeRoom,
  notaries: string,
): Promise<number> {
  const server = await startFederatedServer(authority, '127.0.0.1', { vars: { KEY_NOTARIES: notaries } })
  try {
    const alice = await newClient(server, 'alice')
    const { doRowsWritten } = await server.measure(() => alice.done('POST', pathTo(room, resident), {}))
    return doRowsWritten
  } finally {
    await server.stop()
  }
}

// User and system time, in hundredths of a second: the 14th and 15th field, the second of which may have spaces.
function cpuTime(pid: string): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

function mostMemory(pid: string): number {
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kilobytes) / 1024
}
