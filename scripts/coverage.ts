// Which endpoints of the specification this server has, by module: the routes of the app against the list in
// test/conformance/endpoints.tsv. `npm run coverage` prints it; with `-- --missing`, also each endpoint that is missing.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createApp } from '../src/app.ts'
import { oauthEndpoints } from '../src/oauth/metadata.ts'
import { oauthPath } from '../src/oauth/oauth-settings.ts'
import { projectRoot } from './bundle.ts'

export interface Endpoint {
  readonly api: 'client' | 'federation'
  /** Heading of the specification. */
  readonly module: string
  readonly method: string
  /** With parameters in braces; where the server chooses the path, the name under which it tells clients. */
  readonly path: string
  readonly deprecated: boolean
}

export interface Route {
  readonly method: string
  readonly path: string
}

export interface ModuleCoverage {
  readonly name: string
  readonly served: readonly Endpoint[]
  readonly missing: readonly Endpoint[]
}

/** The endpoints that a homeserver answers. */
export function readEndpoints(): Endpoint[] {
  const lines = readFileSync(join(projectRoot, 'test/conformance/endpoints.tsv'), 'utf8').trim().split('\n')
  return lines.slice(1).map((line) => {
    const [api, module = '', method = '', path = '', deprecated] = line.split('\t')
    if (api !== 'client' && api !== 'federation') throw new Error(`not an endpoint: ${line}`)
    return { api, module, method, path, deprecated: deprecated === 'deprecated' }
  })
}

/** The routes of the app, each once, without what applies to all of them. */
export function appRoutes(): Route[] {
  const routes = createApp().routes.filter(({ method, path }) => method !== 'ALL' && !path.includes('*'))
  return [...new Map(routes.map(({ method, path }) => [`${method} ${path}`, { method, path }])).values()]
}

/** What of the endpoints the routes serve, by module, in the order of the list. */
export function coverage(endpoints: readonly Endpoint[], routes: readonly Route[]): ModuleCoverage[] {
  const served = new Set(routes.map(routeKey))
  const modules = Map.groupBy(endpoints, ({ api, module }) =>
    api === 'federation' ? `Federation: ${module}` : module,
  )
  return [...modules].map(([name, all]) => ({
    name,
    served: all.filter((endpoint) => served.has(routeKey(endpoint))),
    missing: all.filter((endpoint) => !served.has(routeKey(endpoint))),
  }))
}

/** Routes that are in no list: extensions of the specification, or mistakes. */
export function extraRoutes(endpoints: readonly Endpoint[], routes: readonly Route[]): Route[] {
  const known = new Set(endpoints.map(routeKey))
  return routes.filter((route) => !known.has(routeKey(route)))
}

const chosenPaths = new Map(
  Object.entries(oauthEndpoints).map(([name, page]) => [`{${name}}`, `${oauthPath}/${page}`]),
)

// Names of parameters do not matter. Hono writes `:name` or `:name{pattern}`, the list `{name}`.
function routeKey({ method, path }: Route): string {
  const segments = (chosenPaths.get(path) ?? path)
    .split('/')
    .map((part) => (/^[:{]/.test(part) ? '{}' : part))
  return `${method} ${segments.join('/')}`
}

function table(modules: readonly ModuleCoverage[]): string {
  const total = {
    name: 'total',
    served: modules.flatMap((module) => module.served),
    missing: modules.flatMap((module) => module.missing),
  }
  const width = Math.max(...modules.map((module) => module.name.length))
  const row = (name: string, served: number | string, missing: number | string) =>
    `${name.padEnd(width)}  ${String(served).padStart(6)}  ${String(missing).padStart(7)}`
  const rows = [...modules, total].map(({ name, served, missing }) =>
    row(name, served.length, missing.length),
  )
  return [row('module', 'served', 'missing'), ...rows].join('\n')
}

if (import.meta.main) {
  const [endpoints, routes] = [readEndpoints(), appRoutes()]
  const modules = coverage(endpoints, routes)
  console.log(table(modules))
  if (process.argv.includes('--missing')) {
    for (const { name, missing } of modules) {
      for (const { method, path } of missing) console.log(`missing: ${method} ${path} (${name})`)
    }
  }
  const extra = extraRoutes(endpoints, routes)
  console.log(`\n${extra.length} routes beyond the specification's list`)
  for (const { method, path } of extra) console.log(`  ${method} ${path}`)
}
