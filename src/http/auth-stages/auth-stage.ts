// What a stage of user-interactive authentication is made of; each has its file beside this one and its line in
// ../interactive-auth-stages.ts. Specification: client-server API, "User-Interactive Authentication API".

import type { Env } from '../../env.ts'
import type { Errcode } from '../../errors.ts'
import type { UserId } from '../../matrix/event.ts'
import type { JsonObject } from '../../matrix/json.ts'
import type { InteractiveAuthSession } from '../../storage/interactive-auth-sessions.ts'
import type { Html, Sources } from '../../web/page.ts'
import type { AppContext } from '../app-type.ts'

/**
 * `userId` is who is known to be asking after the stage. A failure may be followed by another try. `data` is kept by
 * the session for the stage, whatever the outcome: see `InteractiveAuthSession.data`.
 */
export type StageOutcome = { readonly data?: JsonObject } & (
  | { readonly ok: true; readonly userId: UserId | null }
  | { readonly ok: false; readonly errcode: Errcode; readonly error: string }
)

export interface AuthStage {
  /** What clients have to know: an entry of `params` in the 401 answer, as it stands when the session is opened. */
  readonly params?: (env: Env) => JsonObject
  /** Tries the stage with a client's auth data. Throws a MatrixError where another try would make no difference. */
  readonly perform: (env: Env, session: InteractiveAuthSession, auth: JsonObject) => Promise<StageOutcome>
  /**
   * Whether a stage was completed meanwhile by other means than the client, asked when it sends its session alone and
   * the stage is the next one. Undefined: not yet.
   */
  readonly resume?: (env: Env, session: InteractiveAuthSession) => Promise<StageOutcome | undefined>
  /** How long a session lasts that offers the stage, where that is longer than usual. */
  readonly lifetimeMs?: number
  readonly page: StagePage | ElsewherePage
}

/** A stage that is done elsewhere, such as at an identity provider. */
export interface ElsewherePage {
  /** Answers whoever opens the fallback page. */
  readonly visit: (c: AppContext, session: InteractiveAuthSession) => Promise<Response>
}

/** The stage's part of the fallback page: the inside of a form that is posted back, with a button after it. */
export interface StagePage {
  readonly title: string
  /** What the button says: Continue by default. */
  readonly button?: string
  /** Form fields that become auth data of the same name. */
  readonly fields: readonly string[]
  readonly content: (view: StageView) => Html
  /** What the page takes from elsewhere: nothing by default. */
  readonly sources?: (env: Env) => Sources
}

export interface StageView {
  readonly env: Env
  readonly session: InteractiveAuthSession
  /** For script elements: no other script runs. */
  readonly nonce: string
  /** Language tags the reader understands, best first. */
  readonly languages: readonly string[]
}
