// Registrations of application services: files in YAML or JSON, checked as the Worker checks them, and made for new ones.
// Specification: application service API, "Registration".

import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseDocument, stringify } from 'yaml'
import { parseRegistration } from '../src/appservice/registration.ts'
import { readAppservices } from '../src/appservice/registrations.ts'
import type { ServerName } from '../src/matrix/event.ts'
import { parseServerName } from '../src/matrix/identifiers.ts'
import { StartError } from './options.ts'

/** A registration that makes sense. */
export interface RegistrationFile {
  readonly path: string
  readonly id: string
  /** As a variable of the Worker has it. */
  readonly json: string
}

/**
 * The registrations that some files hold; a folder stands for the .yaml, .yml and .json in it. Throws a StartError that names the
 * file and the field that makes no sense.
 */
export function readRegistrations(paths: readonly string[], serverName: string): RegistrationFile[] {
  const name = parseServerName(serverName)
  if (name === undefined) throw new StartError(`${serverName} is no server name`)
  const files = paths.flatMap(filesAt).map((path) => readRegistration(path, name))
  const vars = registrationVars(files)
  try {
    readAppservices(vars, name)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    // It names the variable of the one that repeats another.
    const [variable = '', ...rest] = message.split(':')
    const path = files.find((_, i) => Object.keys(vars)[i] === variable)?.path ?? variable
    throw new StartError([path, ...rest].join(':'))
  }
  return files
}

/** The variables of the Worker for some registrations. */
export function registrationVars(files: readonly RegistrationFile[]): Record<string, string> {
  return Object.fromEntries(files.map(({ json }, i) => [`APPSERVICE_${i + 1}`, json]))
}

function filesAt(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path]
    const names = readdirSync(path).filter((name) => /\.(?:ya?ml|json)$/i.test(name))
    return names.toSorted().map((name) => join(path, name))
  } catch (error) {
    throw new StartError(`cannot read ${path}: ${code(error)}`)
  }
}

function readRegistration(path: string, serverName: ServerName): RegistrationFile {
  const value = parsed(path, text(path))
  const json = JSON.stringify(value) ?? ''
  try {
    const { id } = parseRegistration(path, json, serverName)
    return { path, id, json }
  } catch (error) {
    throw new StartError(error instanceof Error ? error.message : String(error))
  }
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new StartError(`cannot read ${path}: ${code(error)}`)
  }
}

// JSON is YAML as well.
function parsed(path: string, content: string): unknown {
  const document = parseDocument(content)
  const [error] = document.errors
  // The lines after the first cite the file, which has secrets in it.
  if (error) throw new StartError(`${path}: ${error.message.split('\n')[0]}`)
  try {
    return document.toJS()
  } catch {
    throw new StartError(`${path}: has references that lead nowhere`)
  }
}

function code(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}

/** A registration in YAML for an application service that has none yet, with tokens that nobody knows. */
export function newRegistration(id: string, url: string, serverName: string): string {
  const localpart = `_${id.toLowerCase().replaceAll(/[^a-z0-9._=-]/g, '_')}_`
  const literal = (part: string) => part.replaceAll(/[.^$*+?()[\]{}|\\]/g, String.raw`\$&`)
  const space = (sigil: string) => ({
    exclusive: true,
    regex: `${sigil}${literal(localpart)}.*:${literal(serverName)}`,
  })
  return stringify({
    id,
    url,
    as_token: randomBytes(32).toString('hex'),
    hs_token: randomBytes(32).toString('hex'),
    sender_localpart: `${localpart}bot`,
    rate_limited: false,
    receive_ephemeral: true,
    namespaces: { users: [space('@')], aliases: [space('#')], rooms: [] },
  })
}
