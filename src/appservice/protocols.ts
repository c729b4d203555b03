// What application services say about the networks that they reach. Specification: application service API, "Third-party networks".

import * as v from 'valibot'
import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { errorMessage, log } from '../log.ts'
import { isJsonObject, type JsonObject } from '../matrix/json.ts'
import { instanceId } from './network-instance.ts'
import type { Appservice } from './registration.ts'
import { parsedAnswer } from './third-party-answer.ts'

const texts = v.array(v.string())
const anyObject = v.custom<JsonObject>(isJsonObject, 'not an object')
const protocolAnswer = v.object({
  user_fields: texts,
  location_fields: texts,
  // Required, but not every bridge has one.
  icon: v.optional(v.string(), ''),
  field_types: v.record(v.string(), v.object({ regexp: v.string(), placeholder: v.string() })),
  instances: v.array(
    v.object({
      desc: v.string(),
      icon: v.optional(v.string()),
      fields: anyObject,
      network_id: v.string(),
    }),
  ),
})

const freshMs = 5 * 60_000
const failureFreshMs = 15_000
const atOnce = 5

interface Kept {
  /** Undefined where the application service did not say. */
  readonly metadata: JsonObject | undefined
  readonly until: number
}

const kept = new WeakMap<Appservice, Map<string, Kept>>()

/** All protocols by their names, as clients are shown them. What application services do not say is left out. */
export async function allProtocols(env: Env): Promise<JsonObject> {
  const names = [...new Set(config(env).appservices.flatMap(({ protocols }) => protocols))].toSorted()
  const found: [string, JsonObject][] = []
  const queue = [...names]
  const worker = async (): Promise<void> => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const metadata = await protocolMetadata(env, name)
      if (metadata) found.push([name, metadata])
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, queue.length) }, worker))
  return Object.fromEntries(found)
}

/** A protocol as clients are shown it, with the networks of all application services that reach it; undefined where none says. */
export async function protocolMetadata(env: Env, protocol: string): Promise<JsonObject | undefined> {
  const all: JsonObject[] = []
  for (const appservice of config(env).appservices.filter(({ protocols }) => protocols.includes(protocol))) {
    const metadata = await metadataOf(appservice, protocol)
    if (metadata) all.push(metadata)
  }
  const [first] = all
  return first && { ...first, instances: all.flatMap(instancesOf) }
}

async function metadataOf(appservice: Appservice, protocol: string): Promise<JsonObject | undefined> {
  const ofAppservice = kept.get(appservice) ?? new Map<string, Kept>()
  kept.set(appservice, ofAppservice)
  const known = ofAppservice.get(protocol)
  if (known && known.until > Date.now()) return known.metadata
  const metadata = await askForMetadata(appservice, protocol)
  ofAppservice.set(protocol, { metadata, until: Date.now() + (metadata ? freshMs : failureFreshMs) })
  return metadata
}

async function askForMetadata(appservice: Appservice, protocol: string): Promise<JsonObject | undefined> {
  const path = `/_matrix/app/v1/thirdparty/protocol/${encodeURIComponent(protocol)}`
  const answer = await parsedAnswer(appservice, path)
  if (answer === undefined) return undefined
  try {
    const { instances, icon, ...fields } = v.parse(protocolAnswer, answer)
    return {
      ...fields,
      icon,
      instances: instances.map(({ icon: own, ...instance }) => ({
        ...instance,
        ...(own === undefined ? {} : { icon: own }),
        instance_id: instanceId({ appservice: appservice.id, protocol, network: instance.network_id }),
      })),
    }
  } catch (error) {
    log({ event: 'appservice_answer_refused', appservice: appservice.id, path, error: errorMessage(error) })
    return undefined
  }
}

function instancesOf({ instances }: JsonObject): JsonObject[] {
  return Array.isArray(instances) ? instances.filter(isJsonObject) : []
}
