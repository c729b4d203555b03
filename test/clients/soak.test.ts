// Ten devices send messages to each other and to a room, on a network that loses requests and answers, while the server that
// `npm start` starts is killed and stopped at random: nothing acknowledged is lost, nothing comes twice.
// SOAK_MESSAGES is how many of each kind are sent, SEED chooses the chances; `npm run test:soak` is the full size.

import assert from 'node:assert/strict'
import { after, before, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Preset } from 'matrix-js-sdk'
import { seededRandom } from '../support/lossy-proxy.ts'
import { startServer, type Server } from './launcher.ts'
import { logIn, register, within, type Person } from './person.ts'
import { keepSdkLog } from './sdk-log.ts'
import { type Sending, type Session, SoakDevice } from './soak-device.ts'
import { SoakNetwork } from './soak-network.ts'

const users = 5
const devicesOfUser = 2
const messages = Number(process.env['SOAK_MESSAGES'] ?? 200)
const restarts = Math.max(2, Math.round(messages / 150))
const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)
const patienceMs = 120_000

let server: Server
before(async () => {
  keepSdkLog()
  server = await within('starting the server', startServer(), 60_000)
})
after(() => server?.remove())

void test('nothing is lost or comes twice through restarts and losses', { timeout: 3_600_000 }, async (t) => {
  t.diagnostic(`SEED=${seed} SOAK_MESSAGES=${messages}`)
  const network = new SoakNetwork(server, seededRandom(seed))
  const { sessions, roomId } = await party()
  const devices = sessions.map((session) => new SoakDevice(session, network, roomId))
  const plan = planned(network, sessions, roomId)
  const started = Date.now()
  const total = [...plan.sendings.values()].flat().length
  let sent = 0
  let complete = false
  const sending = async () => {
    await Promise.all(
      devices.map((device) => device.send(plan.sendings.get(device.session) ?? [], () => (sent += 1))),
    )
    const deadline = Date.now() + patienceMs
    while (!devices.every((device) => plan.isComplete(device)) && Date.now() < deadline) await sleep(100)
    complete = true
  }
  try {
    await Promise.all([
      sending(),
      disturb(network, () => sent / total),
      ...devices.map((device) => device.receive(() => complete)),
    ])
  } catch (error) {
    complete = true
    network.end()
    throw error
  }
  report(t, network, Date.now() - started)
  for (const device of devices) await verify(plan, device)
})

/** Two devices for each user, all users in a room. */
async function party(): Promise<{ sessions: Session[]; roomId: string }> {
  const people: Person[] = []
  for (let user = 0; user < users; user += 1) {
    const first = await register(server.url, `user${user}`)
    people.push(first)
    for (let more = 1; more < devicesOfUser; more += 1) people.push(await logIn(server.url, first))
  }
  const [host] = people
  assert(host, 'nobody registered')
  const { room_id: roomId } = await host.client.createRoom({ preset: Preset.PublicChat })
  for (const { client } of people) await client.joinRoom(roomId)
  const sessions = people.map(({ userId, client }) => ({
    userId,
    deviceId: client.getDeviceId() ?? '',
    token: client.getAccessToken() ?? '',
  }))
  return { sessions, roomId }
}

interface Plan {
  readonly sendings: ReadonlyMap<Session, readonly Sending[]>
  /** Numbers of what must come to each device. */
  readonly toDevice: ReadonlyMap<Session, ReadonlySet<number>>
  readonly events: ReadonlySet<number>
  readonly isComplete: (device: SoakDevice) => boolean
}

/** Who sends what, numbered so that the numbers of each sender rise. */
function planned(network: SoakNetwork, sessions: readonly Session[], roomId: string): Plan {
  const sendings = new Map(sessions.map((session) => [session, [] as Sending[]]))
  const toDevice = new Map(sessions.map((session) => [session, new Set<number>()]))
  const events = new Set<number>()
  const left = { toDevice: messages, events: messages }
  for (let n = 0; left.toDevice + left.events > 0; n += 1) {
    const sender = network.oneOf(sessions)
    if (network.chance(left.events / (left.toDevice + left.events))) {
      left.events -= 1
      events.add(n)
      sendings.get(sender)?.push({ n, roomId })
      continue
    }
    left.toDevice -= 1
    const target = network.oneOf(sessions.filter((session) => session !== sender))
    const deviceId = network.chance(0.1) ? '*' : target.deviceId
    sendings.get(sender)?.push({ n, userId: target.userId, deviceId })
    for (const session of sessions) {
      const isMeant = deviceId === '*' ? session.userId === target.userId : session === target
      if (isMeant) toDevice.get(session)?.add(n)
    }
  }
  return {
    sendings,
    toDevice,
    events,
    isComplete: ({ session, toDevice: got, events: seen }) =>
      got.size === toDevice.get(session)?.size && seen.size === events.size,
  }
}

/** Restarts the server at random points of the way. */
async function disturb(network: SoakNetwork, progress: () => number): Promise<void> {
  const points = Array.from({ length: restarts }, () => 0.05 + 0.9 * network.random())
  for (const point of points.toSorted((a, b) => a - b)) {
    while (progress() < point) await sleep(20)
    await sleep(network.random() * 200)
    await within('a restart', network.restart(), 60_000)
  }
}

async function verify(plan: Plan, device: SoakDevice): Promise<void> {
  const { session, toDevice, events } = device
  const lost = (expected: ReadonlySet<number>, got: { has: (n: number) => boolean }) =>
    [...expected].filter((n) => !got.has(n))
  const expected = plan.toDevice.get(session) ?? new Set()
  assert.deepEqual(lost(expected, toDevice), [], `messages to ${session.deviceId} that are lost`)
  assert.deepEqual(lost(plan.events, events), [], `events that ${session.deviceId} never got`)
  assert.deepEqual([toDevice.size, events.size], [expected.size, plan.events.size], 'nothing else came')
  // The next sync acknowledges what the last one brought.
  while (!(await device.sync(0)));
  assert.deepEqual(await device.unacknowledged(), [], `messages that wait for ${session.deviceId} for ever`)
}

function report(t: TestContext, { counts }: SoakNetwork, milliseconds: number): void {
  t.diagnostic(
    `${messages} messages to devices and ${messages} events in ${(milliseconds / 1000).toFixed(1)} s, ` +
      `${counts.kills} kills, ${counts.stops} stops; of ${counts.requests} requests ${counts.cut} cut, ` +
      `${counts.unanswered} unanswered; ${counts.forgotten} answers of /sync forgotten`,
  )
}
