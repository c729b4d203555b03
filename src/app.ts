// All routes of the server. Each file under client/, media/ and admin/ adds its own, with full literal paths.

import { Hono } from 'hono'
import { cors } from 'hono/cors'
import type { App, AppEnv } from './http/app-type.ts'
import { renderError } from './http/render-error.ts'
import { unrecognized } from './http/unrecognized.ts'

/** Builds the application. */
export function createApp(): App {
  const app: App = new Hono<AppEnv>()
  app.use(
    '*',
    // Specification: client-server API, "Web Browser Clients".
    cors({
      origin: '*',
      allowMethods: ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS'],
      allowHeaders: ['X-Requested-With', 'Content-Type', 'Authorization'],
      exposeHeaders: ['Retry-After'],
    }),
  )
  app.onError(renderError)
  app.notFound(unrecognized(app))
  return app
}
