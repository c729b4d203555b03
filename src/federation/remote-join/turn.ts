// How much one invocation may do: on the free plan of Workers a request has 50 subrequests. A join takes as many turns as it
// needs, each in an invocation of its own.

export interface Turn {
  /** Whether a step of so many subrequests fits in. A turn that has just begun takes any. */
  readonly has: (subrequests: number) => boolean
  readonly spend: (subrequests: number) => void
}

/** What one request to another server may take: a well-known document, two SRV look-ups, itself, keeping the answer. */
export const perServer = 5

// The room was asked whether this server is in it, and our signing key was fetched.
const most = 50 - 2

/** A turn that has just begun. */
export function startTurn(): Turn {
  let spent = 0
  return {
    has: (subrequests) => spent === 0 || spent + subrequests <= most,
    spend: (subrequests) => (spent += subrequests),
  }
}
