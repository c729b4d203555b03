// Bundles a Worker entry for workerd, as wrangler does when it deploys, without starting wrangler.
// `node scripts/bundle.ts FILE` writes a bundle that the launcher takes with HEARTH_BUNDLE, for many starts in a row.

import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { readMigrations } from './migrations.ts'

export const projectRoot = resolve(import.meta.dirname, '..')

/** One module of a Worker, as Miniflare takes it. */
export type BundleModule =
  | { readonly type: 'ESModule'; readonly path: string; readonly contents: string }
  | { readonly type: 'CompiledWasm'; readonly path: string; readonly contents: Uint8Array }

/** The folder that module paths are relative to. Nothing exists there: it only names modules in stack traces. */
export const modulesRoot = '/hearth'

export const localEntry = join(projectRoot, 'scripts/local-entry.ts')

/** Bundles the module at `entry` (an absolute path) with all it imports. The first module is the Worker. */
export async function bundle(entry: string = localEntry): Promise<BundleModule[]> {
  const wasm = new Map<string, BundleModule>()
  const { outputFiles } = await build({
    entryPoints: [entry],
    absWorkingDir: projectRoot,
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2024',
    conditions: ['workerd', 'worker', 'browser'],
    external: ['node:*', 'cloudflare:*'],
    jsx: 'automatic',
    jsxImportSource: 'hono/jsx',
    keepNames: true,
    sourcemap: 'inline',
    sourcesContent: false,
    logLevel: 'error',
    plugins: [migrationsPlugin, wasmPlugin(wasm)],
  })
  const contents = outputFiles[0]?.text
  if (contents === undefined) throw new Error(`nothing was bundled from ${entry}`)
  return [{ type: 'ESModule', path: `${modulesRoot}/worker.js`, contents }, ...wasm.values()]
}

// `hearth:migrations` is the content of migrations/*.sql.
const migrationsPlugin: Plugin = {
  name: 'migrations',
  setup(build) {
    build.onResolve({ filter: /^hearth:migrations$/ }, ({ path }) => ({ path, namespace: 'migrations' }))
    build.onLoad({ filter: /.*/, namespace: 'migrations' }, async () => ({
      contents: JSON.stringify(await readMigrations(join(projectRoot, 'migrations'))),
      loader: 'json',
    }))
  },
}

// WebAssembly goes along as modules of its own: Workers cannot compile it while they run.
function wasmPlugin(modules: Map<string, BundleModule>): Plugin {
  return {
    name: 'wasm',
    setup(build) {
      build.onResolve({ filter: /\.wasm(\?module)?$/ }, async ({ path, resolveDir, kind, pluginData }) => {
        if (pluginData === 'wasm') return undefined
        const found = await build.resolve(path.replace(/\?module$/, ''), {
          resolveDir,
          kind,
          pluginData: 'wasm',
        })
        if (found.errors.length > 0) return { errors: found.errors }
        const contents = await readFile(found.path)
        const hash = createHash('sha256').update(contents).digest('hex').slice(0, 8)
        const name = `${hash}-${basename(found.path)}`
        modules.set(name, { type: 'CompiledWasm', path: `${modulesRoot}/${name}`, contents })
        return { path: `./${name}`, external: true }
      })
    },
  }
}

/** Writes a bundle to a file, for `readBundle`. */
export async function writeBundle(path: string, modules: readonly BundleModule[]): Promise<void> {
  const texts = modules.map((module) =>
    module.type === 'ESModule'
      ? module
      : { ...module, contents: Buffer.from(module.contents).toString('base64') },
  )
  await writeFile(path, JSON.stringify(texts))
}

/** Reads a bundle that `writeBundle` wrote. */
export async function readBundle(path: string): Promise<BundleModule[]> {
  const texts = JSON.parse(await readFile(path, 'utf8')) as (BundleModule & { contents: string })[]
  return texts.map((module) =>
    module.type === 'ESModule' ? module : { ...module, contents: Buffer.from(module.contents, 'base64') },
  )
}

if (import.meta.main) {
  const path = process.argv[2]
  if (path === undefined || !dirname(resolve(path))) throw new Error('usage: node scripts/bundle.ts FILE')
  await writeBundle(path, await bundle())
}
