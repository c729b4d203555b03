// Old clients still ask for `r0`, the name that `v3` had before v1.1 of the specification.

import { getPath } from 'hono/utils/url'

/** The path that a request is routed by. */
export function currentPath(request: Request): string {
  return getPath(request).replace(/^\/_matrix\/(client|media)\/r0\//, '/_matrix/$1/v3/')
}
