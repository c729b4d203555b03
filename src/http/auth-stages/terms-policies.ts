// The policy documents of the operator, from the variable TERMS_POLICIES.
// Specification: client-server API, "Terms of service at registration"; appendices, "Opaque Identifiers".

import type { Env } from '../../env.ts'
import { isJsonObject, type JsonObject, property, stringProperty } from '../../matrix/json.ts'

/** By policy id, as clients are told: `version`, and by language tag `name` and `url`. */
export type TermsPolicies = Readonly<Record<string, PolicyDocument>>

export type PolicyDocument = { readonly version: string } & {
  readonly [language: string]: string | PolicyTranslation
}

export interface PolicyTranslation {
  readonly name: string
  readonly url: string
}

const opaqueId = /^[0-9A-Za-z._~-]{1,255}$/
// Language tags of RFC 5646, with underscores as well.
const languageTag = /^[A-Za-z]{1,8}(?:[-_][0-9A-Za-z]{1,8})*$/

/** Undefined where there are none. Throws an Error naming what makes no sense. */
export function termsPolicies(env: Env): TermsPolicies | undefined {
  if (env.TERMS_POLICIES === undefined || env.TERMS_POLICIES.trim() === '') return undefined
  const value = parsed(env.TERMS_POLICIES)
  if (!isJsonObject(value)) throw wrong('must be a JSON object')
  const policies = Object.entries(value).map(([id, policy]) => {
    if (!opaqueId.test(id)) throw wrong(`has a policy id that is none: ${JSON.stringify(id)}`)
    if (!isJsonObject(policy)) throw wrong(`must have an object for ${id}`)
    return [id, policyDocument(id, policy)] as const
  })
  return policies.length === 0 ? undefined : Object.fromEntries(policies)
}

/** The translations of a document, by language tag. */
export function translations(policy: PolicyDocument): [string, PolicyTranslation][] {
  return Object.entries(policy).flatMap(([language, translation]) =>
    typeof translation === 'string' ? [] : [[language, translation]],
  )
}

function policyDocument(id: string, policy: JsonObject): PolicyDocument {
  const version = stringProperty(policy, 'version') ?? ''
  if (!opaqueId.test(version)) throw wrong(`needs a version for ${id}, of 0-9 a-z A-Z . _ ~ -`)
  const languages = Object.entries(policy).filter(([name]) => name !== 'version')
  if (languages.length === 0) throw wrong(`needs a language for ${id}`)
  const translated = languages.map(([language, translation]) => {
    if (!languageTag.test(language)) throw wrong(`has a language for ${id} that is none: ${language}`)
    return [language, policyTranslation(`${id}, ${language}`, translation)] as const
  })
  return { version, ...Object.fromEntries(translated) }
}

function policyTranslation(where: string, value: unknown): PolicyTranslation {
  const translation = isJsonObject(value) ? value : {}
  const name = stringProperty(translation, 'name')?.trim() ?? ''
  const url = stringProperty(translation, 'url') ?? ''
  if (name === '' || property(translation, 'url') === undefined)
    throw wrong(`needs name and url for ${where}`)
  const { protocol } = URL.parse(url) ?? {}
  if (protocol !== 'https:' && protocol !== 'http:') throw wrong(`needs an http or https URL for ${where}`)
  return { name, url }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw wrong('is not JSON')
  }
}

function wrong(what: string): Error {
  return new Error(`TERMS_POLICIES ${what}`)
}
