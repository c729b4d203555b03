// wrangler.toml, read by the launcher, the tests and the bench, so that what they run is what would be deployed.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'smol-toml'
import * as v from 'valibot'
import { projectRoot } from './bundle.ts'

const binding = v.object({ binding: v.string() })

// Strict: a new section must be mapped in runtime.ts before it is used, or it would be missing locally without a word.
const schema = v.strictObject({
  name: v.string(),
  main: v.string(),
  compatibility_date: v.string(),
  compatibility_flags: v.array(v.string()),
  vars: v.record(v.string(), v.string()),
  d1_databases: v.array(v.object({ ...binding.entries, database_name: v.string() })),
  r2_buckets: v.array(binding),
  queues: v.strictObject({
    producers: v.array(v.strictObject({ ...binding.entries, queue: v.string() })),
    consumers: v.array(
      v.strictObject({
        queue: v.string(),
        max_batch_size: v.number(),
        max_batch_timeout: v.number(),
        max_retries: v.number(),
      }),
    ),
  }),
  durable_objects: v.strictObject({
    bindings: v.array(v.strictObject({ name: v.string(), class_name: v.string() })),
  }),
  migrations: v.array(v.strictObject({ tag: v.string(), new_sqlite_classes: v.array(v.string()) })),
  ratelimits: v.array(
    v.strictObject({
      name: v.string(),
      namespace_id: v.string(),
      simple: v.strictObject({ limit: v.number(), period: v.picklist([10, 60]) }),
    }),
  ),
  // Of no meaning here: there is no such binding, mail goes out by an HTTP provider, or into a folder.
  send_email: v.optional(v.unknown()),
  observability: v.optional(v.unknown()),
  limits: v.optional(v.unknown()),
  placement: v.optional(v.unknown()),
})

export type WranglerConfig = v.InferOutput<typeof schema>

/** The configuration of the deployed Worker. Throws when it has something that the local runtime does not map. */
export function readWranglerConfig(): WranglerConfig {
  return v.parse(schema, parse(readFileSync(join(projectRoot, 'wrangler.toml'), 'utf8')))
}
