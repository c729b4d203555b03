// Which state a client of sliding sync wants of a room. Several wishes for one room are taken together: what any of them
// names is sent. Specification: MSC4186 (simplified sliding sync), "RequiredStateRequest", "Combining required_state".

/** Absent fields match anything. */
export interface StatePattern {
  readonly type?: string
  readonly stateKey?: string
}

export interface RequiredState {
  readonly include: readonly StatePattern[]
  readonly exclude: readonly StatePattern[]
  /** Of the members only those that the timeline needs, and those named by their user id. */
  readonly lazyMembers: boolean
}

export type StateMatch = (type: string, stateKey: string) => boolean

const member = 'm.room.member'

/** Whether state is named by any of these. Members that are loaded lazily come beside it. */
export function stateMatch(required: readonly RequiredState[]): StateMatch {
  return (type, stateKey) => required.some((one) => names(one, type, stateKey))
}

function names({ include, exclude, lazyMembers }: RequiredState, type: string, stateKey: string): boolean {
  const anyMember = !lazyMembers || type !== member
  return (
    include.some(
      (pattern) => fits(pattern, type, stateKey) && (anyMember || pattern.stateKey !== undefined),
    ) && !exclude.some((pattern) => fits(pattern, type, stateKey))
  )
}

function fits(pattern: StatePattern, type: string, stateKey: string): boolean {
  return (
    (pattern.type === undefined || pattern.type === type) &&
    (pattern.stateKey === undefined || pattern.stateKey === stateKey)
  )
}

/** Whether the members that the timeline needs are wanted. */
export function loadsMembersLazily(required: readonly RequiredState[]): boolean {
  return required.some(({ lazyMembers }) => lazyMembers)
}

/** Whether patterns reach members that are not named by their user id. */
export function wantsAnyMembers(required: readonly RequiredState[]): boolean {
  return required.some(
    ({ include, lazyMembers }) =>
      !lazyMembers &&
      include.some(({ type, stateKey }) => stateKey === undefined && (type === undefined || type === member)),
  )
}

/** The (type, state_key) pairs that are wanted, where no pattern is open; undefined where the state must be searched. */
export function namedSlots(
  required: readonly RequiredState[],
): { readonly type: string; readonly stateKey: string }[] | undefined {
  const patterns = required.flatMap(({ include }) => include)
  const named = patterns.flatMap(({ type, stateKey }) =>
    type === undefined || stateKey === undefined ? [] : [{ type, stateKey }],
  )
  return named.length === patterns.length ? named : undefined
}
