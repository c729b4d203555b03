// Histories at random, the same for the same seed: several servers extend a room without hearing of each other and
// come together from time to time. Most events are allowed where they are sent; some are not, and stay as rejected.

import { authorise } from '../../src/matrix/event-auth/authorise.ts'
import type { Event, UserId } from '../../src/matrix/event.ts'
import type { RoomVersionId } from '../../src/matrix/room-version.ts'
import { proposeEvent, type Proposal, type Scene } from './proposals.ts'
import { History, type Step } from './history.ts'
import { prngOf, type Prng } from './prng.ts'

const users = [
  '@a1:a.example',
  '@a2:a.example',
  '@b1:b.example',
  '@b2:b.example',
  '@c1:c.example',
  '@d1:d.example',
]

/** The history of a seed. */
export function historyOf(version: RoomVersionId, seed: number): History {
  const random = prngOf(seed)
  const room = new Narrator(version, random)
  openRoom(room)
  const start = [room.last]
  const branches = Array.from({ length: random.integer(2, 4) }, () => start)
  const length = random.integer(8, 26)
  for (let count = 0; count < length; count++) {
    const at = random.integer(0, branches.length - 1)
    const heard = random.chance(0.18) ? [random.pick(branches)] : []
    const tips = [...new Set([...(branches[at] ?? start), ...heard.flat()])]
    branches[at] = [room.next(tips, branches)]
  }
  room.history.mergeTips()
  return room.history
}

class Narrator {
  readonly random: Prng
  readonly history: History
  #time = 1_600_000_000_000

  constructor(version: RoomVersionId, random: Prng) {
    this.random = random
    this.history = new History(version)
  }

  get last(): number {
    return this.history.steps.length - 1
  }

  /** Sends what is given after the last step. */
  tell(proposal: Proposal): void {
    this.#send(proposal, this.last < 0 ? [] : [this.last])
  }

  /** Sends something after some steps; mostly it is allowed there. */
  next(after: readonly number[], branches: readonly (readonly number[])[]): number {
    const scene: Scene = {
      random: this.random,
      rules: this.history.rules,
      users,
      state: this.history.lookupAfter(after),
    }
    let proposal = proposeEvent(scene)
    // Some are sent as they come.
    for (let attempts = this.random.chance(0.1) ? 0 : 12; attempts > 0; attempts--) {
      if (this.#isAllowed(proposal, scene)) break
      proposal = proposeEvent(scene)
    }
    const authFrom = this.random.chance(0.1) ? this.random.pick(branches) : undefined
    return this.#send(proposal, after, authFrom)
  }

  #isAllowed(proposal: Proposal, { rules, state }: Scene): boolean {
    const [create] = this.history.events
    if (create === undefined) return true
    const { state_key: _, ...other } = create
    // Two previous events: not the first join, which is judged by what it comes after.
    const prev_events = [create.event_id, create.event_id]
    const event: Event = { ...other, ...proposal, sender: proposal.sender as UserId, prev_events }
    return authorise(rules, event, state).ok
  }

  #send(proposal: Proposal, after: readonly number[], authFrom?: readonly number[]): number {
    const { random } = this
    // Clocks stand still, run and are wrong.
    if (random.chance(0.7)) this.#time += random.integer(1, 4000)
    const skew = random.chance(0.2) ? random.integer(-30_000, 30_000) : 0
    const step: Step = {
      ...proposal,
      after,
      origin_server_ts: this.#time + skew,
      ...(authFrom === undefined ? {} : { authFrom }),
      ...(random.chance(0.05) ? { tooDeep: random.integer(1, 10) } : {}),
      name: `${this.last + 1}${random.integer(100, 999)}`,
    }
    this.history.send(step)
    return this.last
  }
}

function openRoom(room: Narrator): void {
  const { random, history } = room
  const { rules } = history
  const [creator = '', ...others] = users
  const event = (type: string, sender: string, stateKey: string, content: Proposal['content']) =>
    room.tell({ type, sender, state_key: stateKey, content })
  const additional = others.filter(() => random.chance(0.2))
  event('m.room.create', creator, '', {
    room_version: rules.id,
    ...(rules.creatorIsSender ? {} : { creator }),
    ...(rules.privilegedCreators && random.chance(0.6) ? { additional_creators: additional } : {}),
    ...(random.chance(0.03) ? { 'm.federate': false } : {}),
  })
  event('m.room.member', creator, creator, { membership: 'join' })
  const creators = rules.privilegedCreators ? [creator, ...additional] : []
  const levels = Object.fromEntries(
    users
      .filter((user) => !creators.includes(user))
      .map((user) => [user, random.pick([0, 0, 25, 50, 50, 99, 100])]),
  )
  if (!rules.privilegedCreators) levels[creator] = 100
  if (random.chance(0.85)) event('m.room.power_levels', creator, '', { users: levels })
  if (random.chance(0.97)) event('m.room.join_rules', creator, '', { join_rule: 'public' })
  for (const user of others)
    if (random.chance(0.7)) event('m.room.member', user, user, { membership: 'join' })
}
