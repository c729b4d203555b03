// Checks the size of what `wrangler deploy --dry-run --outdir dist` wrote against the limit of the free plan.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { projectRoot } from './bundle.ts'

const limit = 3_000_000

const folder = join(projectRoot, 'dist')
const files = readdirSync(folder).filter((name) => !name.endsWith('.map') && name !== 'README.md')
const bytes = files.reduce((sum, name) => sum + gzipSync(readFileSync(join(folder, name))).byteLength, 0)
console.log(`bundle: ${Math.ceil(bytes / 1000)} kB gzip in ${files.length} files, ${limit / 1000} kB allowed`)
if (files.length === 0 || bytes > limit) process.exit(1)
