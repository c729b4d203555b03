// Asking another server about a room, within a number of requests.

import type { Env } from '../../env.ts'
import type { RoomId, ServerName } from '../../matrix/event.ts'

export interface Asking {
  readonly env: Env
  readonly roomId: RoomId
  /** Who is asked. */
  readonly server: ServerName
  /** How many requests are left. Shared by all that is asked in one run. */
  readonly budget: { left: number }
}

/** Thrown where no request is left. */
export class BudgetSpent extends Error {
  constructor() {
    super('no requests are left in this run')
  }
}

/** Takes a request from the budget. */
export function spend({ budget }: Asking): void {
  if (budget.left <= 0) throw new BudgetSpent()
  budget.left -= 1
}
