// The type that all route files share: bindings of the Worker and what middleware leaves in the context.

import type { Context, Hono } from 'hono'
import type { Env } from '../env.ts'
import type { Session } from './session.ts'

export interface AppEnv {
  Bindings: Env
  Variables: { session: Session }
}
export type App = Hono<AppEnv>
export type AppContext = Context<AppEnv>
