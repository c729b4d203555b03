// Unknown paths and methods. Specification: client-server API, "Unsupported endpoints":
// 404 M_UNRECOGNIZED for an unknown path, 405 M_UNRECOGNIZED for a known path with another method.

import { MatrixError } from '../errors.ts'
import type { App, AppContext } from './app-type.ts'
import { renderError } from './render-error.ts'

/** The not-found handler of an app. */
export function unrecognized(app: App): (c: AppContext) => Response {
  let patterns: RegExp | undefined
  return (c) => {
    patterns ??= pathPatterns(app)
    const known = patterns.test(c.req.path)
    const error = known
      ? new MatrixError('M_UNRECOGNIZED', 405, `${c.req.method} is not supported here`)
      : new MatrixError('M_UNRECOGNIZED', 404, 'Unrecognized request')
    return renderError(error, c)
  }
}

function pathPatterns(app: App): RegExp {
  const paths = new Set(app.routes.map((route) => route.path).filter((path) => !path.includes('*')))
  const alternatives = [...paths].map((path) =>
    path
      .split('/')
      .map((part) =>
        part.startsWith(':') ? segmentPattern(part) : part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'),
      )
      .join('/'),
  )
  return new RegExp(`^(?:${alternatives.join('|')})$`)
}

function segmentPattern(part: string): string {
  const custom = /\{(.+)\}$/.exec(part)?.[1]
  return custom === undefined ? '[^/]+' : `(?:${custom})`
}
