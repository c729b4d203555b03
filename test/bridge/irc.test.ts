// A user of an unmodified matrix-js-sdk and one of IRC talk over heisenbridge, a bridge that many run, which is an application
// service of the server that `npm start` starts. The bridge and the server are killed on the way.
// Specification: application service API.

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { after, before } from 'node:test'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Preset, type MatrixEvent, type Room } from 'matrix-js-sdk'
import { chapter } from '../clients/chapter.ts'
import { startServer, type Server } from '../clients/launcher.ts'
import { register, roomOf, startSyncing, until, within, type Person } from '../clients/person.ts'
import { keepSdkLog } from '../clients/sdk-log.ts'
import { freePort } from '../support/launcher.ts'
import { ircUser, type IrcUser } from './irc-user.ts'
import { program, type Program } from './process.ts'

const channel = '#hearth'
const bot = '@heisenbridge:localhost'
const puppet = '@irc_local_bob:localhost'

let folder: string
let server: Server
let irc: Program
let bridge: Program
let alice: Person
let bob: IrcUser
/** The room in which Alice talks to the bridge, and those that it opens for a network and a channel. */
let control: string
let network: string
let room: string

before(async () => {
  keepSdkLog()
  folder = await mkdtemp(join(tmpdir(), 'hearth-bridge-'))
  const [ircPort, bridgePort] = [await freePort(), await freePort()]
  irc = program(['irc.server', '-a', '127.0.0.1', '-p', String(ircPort)], 'Listening on')
  const registration = join(folder, 'heisenbridge.yaml')
  await writeFile(registration, registrationOf(bridgePort))
  server = await within('starting the server', startServer({ appservices: registration }), 60_000)
  bridge = program(
    ['heisenbridge', '-c', registration, '-l', '127.0.0.1', '-p', String(bridgePort), server.url],
    'bridge is now running!',
  )
  await Promise.all([irc.start(), bridge.start()])
  alice = await register(server.url, 'alice')
  await startSyncing(alice)
  bob = await ircUser(ircPort, 'bob')
  await bob.join(channel)
  control = await openControlRoom()
  await order(control, 'ADDNETWORK local', /Network added/)
  await order(control, `ADDSERVER local 127.0.0.1 ${ircPort}`, /Server added/)
})
after(async () => {
  alice?.client.stopClient()
  bob?.close()
  await bridge?.kill()
  await irc?.kill()
  await server?.remove()
  await rm(folder, { recursive: true, force: true })
})

function registrationOf(port: number): string {
  return `id: heisenbridge
url: http://127.0.0.1:${port}
as_token: wfghWEGh3wgWHEf3478sHFWE
hs_token: ugw8243igya57aaABGFfgeyu
rate_limited: false
sender_localpart: heisenbridge
namespaces:
  users:
    - regex: '@irc_.*'
      exclusive: true
  aliases: []
  rooms: []
`
}

async function openControlRoom(): Promise<string> {
  const { room_id: roomId } = await alice.client.createRoom({
    preset: Preset.TrustedPrivateChat,
    is_direct: true,
    invite: [bot],
  })
  await until('the bridge to join', () => memberOf(roomId, bot) === 'join')
  return roomId
}

function memberOf(roomId: string, userId: string): string | undefined {
  return alice.client.getRoom(roomId)?.getMember(userId)?.membership
}

/** Says something to the bridge, and waits until it has said something like this. */
async function order(roomId: string, command: string, answer: RegExp): Promise<void> {
  const before = timeline(roomId).length
  await alice.client.sendTextMessage(roomId, command)
  await until(`the answer to ${command}`, () =>
    timeline(roomId)
      .slice(before)
      .some((event) => event.getSender() === bot && answer.test(String(event.getContent().body))),
  )
}

function timeline(roomId: string): MatrixEvent[] {
  return alice.client.getRoom(roomId)?.getLiveTimeline().getEvents() ?? []
}

function messages(roomId: string, body: string): MatrixEvent[] {
  return timeline(roomId).filter((event) => event.getContent().body === body)
}

/** A room that the bridge invites Alice to, once she is in it. */
async function invitedTo(what: string, isIt: (room: Room) => boolean): Promise<string> {
  const { roomId } = await until(`an invite to ${what}`, () =>
    alice.client.getRooms().find((known) => known.getMyMembership() === 'invite' && isIt(known)),
  )
  await alice.client.joinRoom(roomId)
  await until(`Alice to be in ${what}`, () => roomOf(alice, roomId).getMyMembership() === 'join')
  return roomId
}

async function heardFromIrc(text: string): Promise<MatrixEvent> {
  return await until(`"${text}" to reach Alice`, () => messages(room, text)[0])
}

chapter('the bridge opens a room for a network', async () => {
  await alice.client.sendTextMessage(control, 'OPEN local')
  network = await invitedTo('the network', () => true)
  await order(network, 'NICK alice', /Nickname set/)
  // The bridge waits ten seconds in vain for what this IRC server is able to do.
  await order(network, 'CONNECT', /End of MOTD/)
})

chapter('it opens one for a channel, with a user for each who speaks there', async () => {
  await alice.client.sendTextMessage(network, `JOIN ${channel}`)
  room = await invitedTo('the channel', ({ name }) => name.includes(channel))
  bob.say(channel, 'is anybody on Matrix?')
  await until('the one from IRC to be there', () => memberOf(room, puppet) === 'join')
  const profile = await alice.client.getProfileInfo(puppet)
  assert.match(profile.displayname ?? '', /^bob/)
})

chapter('messages go both ways', async () => {
  const question = await heardFromIrc('is anybody on Matrix?')
  assert.equal(question.getSender(), puppet)
  await alice.client.sendTextMessage(room, 'I am')
  assert.equal(await bob.heard('I am'), 'alice')
})

chapter('what is said while the bridge is gone reaches it when it is back, once', async () => {
  const before = timeline(control).length
  await bridge.kill()
  await alice.client.sendTextMessage(control, 'NETWORKS')
  await bridge.start()
  const answers = () =>
    timeline(control)
      .slice(before)
      .filter((event) => event.getSender() === bot && /local/.test(String(event.getContent().body)))
  await until('the answer of the bridge', () => answers().length > 0)
  await order(control, 'VERSION', /v1\.15/)
  assert.equal(answers().length, 1)
})

chapter('a server that was killed goes on with both', async () => {
  await server.kill()
  await server.restart()
  // It was started again just before, and is in the channel only once it knows what the IRC server is able to do.
  await until('the bridge to be in the channel once more', () => bob.isHere('alice'))
  await alice.client.sendTextMessage(room, 'the server is back')
  assert.equal(await bob.heard('the server is back'), 'alice')
  assert.equal(bob.timesHeard('the server is back'), 1)
  bob.say(channel, 'so it is')
  await heardFromIrc('so it is')
  assert.equal(messages(room, 'so it is').length, 1)
})

chapter('one who leaves IRC leaves the room', async () => {
  bob.close()
  await until('the one from IRC to leave', () => memberOf(room, puppet) === 'leave')
})

chapter('users of the bridge are its own', async () => {
  const token = /as_token: (\S+)/.exec(await readFile(join(folder, 'heisenbridge.yaml'), 'utf8'))?.[1]
  const taken = await fetch(`${server.url}/_matrix/client/v3/register`, {
    method: 'POST',
    body: JSON.stringify({
      username: 'irc_local_eve',
      password: 'correct horse of eve',
      auth: { type: 'm.login.dummy' },
    }),
  })
  assert.match(await taken.text(), /"M_EXCLUSIVE"/)
  const as = await fetch(
    `${server.url}/_matrix/client/v3/account/whoami?user_id=${encodeURIComponent(alice.userId)}`,
    { headers: { Authorization: `Bearer ${token}` } },
  )
  assert.equal(as.status, 403, 'the bridge must not be Alice')
})
