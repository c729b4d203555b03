// The application services of this server: one variable each, whose name begins with APPSERVICE_.
// Specification: application service API, "Registration".

import type { ServerName, UserId } from '../matrix/event.ts'
import { type Appservice, parseRegistration } from './registration.ts'

/** Reads all registrations from the variables of the Worker. Throws an Error naming the variable of one that makes no sense or repeats another. */
export function readAppservices(variables: object, serverName: ServerName): readonly Appservice[] {
  const found = new Map<string, Appservice>()
  const senders = new Set<UserId>()
  const entries: [string, unknown][] = Object.entries(variables)
  for (const [name, value] of entries.toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    if (!name.startsWith('APPSERVICE_') || typeof value !== 'string' || value.trim() === '') continue
    const appservice = parseRegistration(name, value, serverName)
    // "each as_token and id MUST be unique per application service […]. The homeserver MUST enforce this."
    for (const key of [`id ${appservice.id}`, `token ${appservice.asTokenHash}`]) {
      if (found.has(key)) throw new Error(`${name}: id and as_token must differ from those of all others`)
      found.set(key, appservice)
    }
    if (senders.has(appservice.sender)) throw new Error(`${name}: sender_localpart is that of another`)
    senders.add(appservice.sender)
  }
  return [...new Set(found.values())]
}
