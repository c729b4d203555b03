// Handing the state that another server gave into our room, batch by batch, and finding out which of it holds.
// Specification: server-server API, "Checks performed on receipt of a PDU"; design, "The room trusts no caller".

import type { EventId } from '../../matrix/event.ts'
import type { JsonObject } from '../../matrix/json.ts'
import type { Receipt, ServerKeySet } from '../../room/receive-pdu.ts'
import type { Spool, SpooledList } from './spool.ts'

export interface StagingDeps {
  readonly keysOf: (pdus: readonly JsonObject[]) => Promise<ServerKeySet>
  readonly receiveOutliers: (pdus: readonly JsonObject[], keys: ServerKeySet) => Promise<Receipt[]>
  /** The id of an event in the room's version, undefined for what is no event of it. */
  readonly idOf: (pdu: JsonObject) => EventId | undefined
}

export interface StagedState {
  /** The events of the state that hold. */
  readonly state: readonly EventId[]
  /** How many events were refused or lack others, and why the first of them. */
  readonly refused: number
  readonly reason?: string
}

// Events whose auth events come later, although they are deeper. Servers that work as they should have few of them.
const mostWaiting = 1000
const rounds = 3

/** Stages what a spool holds: first what the state rests upon, then the state. */
export async function stageState(deps: StagingDeps, spool: Spool): Promise<StagedState> {
  const result = { state: new Set<EventId>(), refused: 0, reason: undefined as string | undefined }
  const waiting: Record<SpooledList, JsonObject[]> = { auth_chain: [], state: [] }

  const receive = async (list: SpooledList, pdus: readonly JsonObject[]): Promise<JsonObject[]> => {
    const receipts = await deps.receiveOutliers(pdus, await deps.keysOf(pdus))
    const incomplete = new Set<EventId>()
    for (const receipt of receipts) {
      if ('reason' in receipt) refuse(receipt.reason)
      else if (receipt.outcome === 'incomplete') incomplete.add(receipt.eventId)
      else if (list === 'state') result.state.add(receipt.eventId)
    }
    if (incomplete.size === 0) return []
    return pdus.filter((pdu) => incomplete.has(deps.idOf(pdu) ?? ('' as EventId)))
  }
  const refuse = (reason: string, events = 1): void => {
    result.refused += events
    result.reason ??= reason
  }
  const keepWaiting = (list: SpooledList, pdus: readonly JsonObject[]): void => {
    const free = mostWaiting - waiting.auth_chain.length - waiting.state.length
    waiting[list].push(...pdus.slice(0, free))
    if (pdus.length > free) refuse('events that it rests upon are missing', pdus.length - free)
  }

  for (const list of ['auth_chain', 'state'] as const) {
    for (const batch of spool.batches(list)) keepWaiting(list, await receive(list, batch))
  }
  const open = () => waiting.auth_chain.length + waiting.state.length
  for (let round = 0, before = Infinity; round < rounds && open() > 0 && open() < before; round += 1) {
    before = open()
    for (const list of ['auth_chain', 'state'] as const) {
      const again = waiting[list].splice(0)
      if (again.length > 0) keepWaiting(list, await receiveInParts(receive, list, again))
    }
  }
  if (open() > 0) refuse('events that it rests upon are missing', open())
  const { state, refused, reason } = result
  return { state: [...state], refused, ...(reason === undefined ? {} : { reason }) }
}

const eventsPerPart = 100

async function receiveInParts(
  receive: (list: SpooledList, pdus: readonly JsonObject[]) => Promise<JsonObject[]>,
  list: SpooledList,
  pdus: readonly JsonObject[],
): Promise<JsonObject[]> {
  const left: JsonObject[] = []
  for (let at = 0; at < pdus.length; at += eventsPerPart) {
    left.push(...(await receive(list, pdus.slice(at, at + eventsPerPart))))
  }
  return left
}
