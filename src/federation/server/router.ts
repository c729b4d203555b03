// The router of the federation API. Every route is authenticated unless it says otherwise.

import type { App, AppContext } from '../../http/app-type.ts'
import { heardOf } from '../sender/heard-of.ts'
import { limitOrigin } from './origin-limits.ts'
import { authenticate, type FederationRequest } from '../../http/federation-auth.ts'

export type FederationHandler = (c: AppContext, request: FederationRequest) => Response | Promise<Response>
export type OpenHandler = (c: AppContext) => Response | Promise<Response>

export interface RouteOptions {
  /** The largest body taken, in bytes. */
  readonly maxBytes?: number
}

type Add = (path: string, handler: FederationHandler, options?: RouteOptions) => void

/** Adds routes with full literal paths. A handler is told which server has asked, and runs for no other. */
export interface FederationRouter {
  readonly get: Add
  readonly post: Add
  readonly put: Add
  /** A route for anyone: the specification must say that it needs no authentication. */
  readonly openRoute: (method: 'GET' | 'POST' | 'PUT', path: string, handler: OpenHandler) => void
}

const standardMaxBytes = 1024 * 1024

/** The federation routes of an app. */
export function federationRouter(app: App): FederationRouter {
  const adder =
    (method: string): Add =>
    (path, handler, { maxBytes = standardMaxBytes } = {}) => {
      app.on(method, path, async (c) => {
        const request = await authenticate(c, maxBytes)
        // Only now is it sure who asks: nobody uses up what another server may ask for.
        await limitOrigin(c.env, request.origin, request.content)
        heardOf(c, request.origin)
        return await handler(c, request)
      })
    }
  return {
    get: adder('GET'),
    post: adder('POST'),
    put: adder('PUT'),
    openRoute: (method, path, handler) => void app.on(method, path, handler),
  }
}
