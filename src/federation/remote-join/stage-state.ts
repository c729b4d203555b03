// Handing the state that another server gave into our room, batch by batch, and finding out which of it holds.
// Specification: server-server API, "Checks performed on receipt of a PDU"; design, "The room trusts no caller".

import type { EventId } from '../../matrix/event.ts'
import type { StagedEvents } from '../../room/stage-events.ts'
import type { ServerKeySet } from '../../room/receive-pdu.ts'
import type { JobStore, StagedBatch } from './join-job.ts'
import type { Spool, SpooledList } from './spool.ts'

export interface StagingDeps {
  readonly store: JobStore
  readonly spool: Spool
  readonly stage: (texts: readonly string[], keys: ServerKeySet) => Promise<StagedEvents>
}

export interface StagedState {
  /** The events of the state that hold. */
  readonly state: readonly EventId[]
  /** How many events were refused or lack others, and why the first of them. */
  readonly refused: number
  readonly reason?: string
}

// What the state rests upon comes first.
const lists = ['auth_chain', 'state'] as const
// Events whose auth events come later, although they are not deeper. Servers that work as they should have none of them; so
// many go into one call whatever their size.
const mostWaiting = 100
const rounds = 3

/** Stages the next batch. Returns whether there was one. */
export async function stageBatch(deps: StagingDeps): Promise<boolean> {
  for (const list of lists) {
    const from = deps.store.staged(list)
    const texts = deps.spool.batch(list, from)
    if (texts.length === 0) continue
    const { waiting, ...staged } = await stage(deps, list, texts)
    const numbers = waiting.map((i) => from + i)
    deps.store.keepBatch({ list, events: texts.length, ...staged, waiting: numbers })
    return true
  }
  return false
}

// The auth chain needs no ids: it is found again by those who cite it.
async function stage(
  { store, stage: stageTexts }: StagingDeps,
  list: SpooledList,
  texts: readonly string[],
): Promise<StagedEvents> {
  const staged = await stageTexts(texts, store.keys())
  return list === 'state' ? staged : { ...staged, ids: [] }
}

/** What came of all batches. Tries again what was waiting for events that came later: up to six calls. */
export async function stagedState(deps: StagingDeps): Promise<StagedState> {
  const batches = deps.store.batches()
  const state = new Set(batches.flatMap(({ ids }) => ids))
  let refused = batches.reduce((sum, batch) => sum + batch.refused, 0)
  let reason = batches.find((batch) => batch.reason !== undefined)?.reason
  let open = waitingIn(batches)
  const lacking = (events: number): void => {
    refused += events
    if (events > 0) reason ??= 'events that it rests upon are missing'
  }
  lacking(open.splice(mostWaiting).length)
  for (
    let round = 0, before = Infinity;
    round < rounds && open.length > 0 && open.length < before;
    round += 1
  ) {
    before = open.length
    const still: Waiting[] = []
    for (const list of lists) {
      const numbers = open.filter((one) => one.list === list).map(({ number }) => number)
      if (numbers.length === 0) continue
      const staged = await stage(deps, list, deps.spool.pick(list, numbers))
      for (const id of staged.ids) state.add(id)
      refused += staged.refused
      reason ??= staged.reason
      still.push(...staged.waiting.flatMap((i) => ({ list, number: numbers[i] ?? 0 })))
    }
    open = still
  }
  lacking(open.length)
  return { state: [...state], refused, ...(reason === undefined ? {} : { reason }) }
}

interface Waiting {
  readonly list: SpooledList
  readonly number: number
}

function waitingIn(batches: readonly StagedBatch[]): Waiting[] {
  return batches.flatMap(({ list, waiting }) => waiting.map((number) => ({ list, number })))
}
