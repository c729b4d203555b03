// Unbinding what a user has bound: one identifier, or all of them, where they were bound or at a server of the client's choice.
// Specification: client-server API, POST /account/3pid/unbind, /account/3pid/delete, /account/deactivate.

import type { Env } from '../env.ts'
import { isMatrixError, type MatrixError } from '../errors.ts'
import type { ServerName, UserId } from '../matrix/event.ts'
import {
  findBindings,
  forgetBinding,
  forgetBindings,
  type IdentityBinding,
} from '../storage/identity-bindings.ts'
import { type BoundIdentifier, unbindIdentifier, type UnbindResult } from './binding.ts'
import { isSameIdentifier } from './third-party-identifier.ts'

export interface Unbound {
  readonly result: UnbindResult
  /** What identity servers have refused, and those that could not be asked. The result is then `no-support`. */
  readonly refusals: readonly MatrixError[]
}

/**
 * Unbinds an identifier of a user at `idServer`, or else wherever this server knows it to be bound; `no-support` where it knows of no
 * such place. What could not be unbound is remembered.
 */
export async function unbindForUser(
  env: Env,
  userId: UserId,
  identifier: BoundIdentifier,
  idServer: ServerName | undefined,
): Promise<Unbound> {
  const bindings = await findBindings(env, userId)
  const known = bindings.filter((binding) => isSameIdentifier(binding, identifier))
  const there = idServer === undefined ? known : known.filter((binding) => binding.idServer === idServer)
  // Clients may have bound it without us.
  const targets = idServer === undefined || there.length > 0 ? there : [{ ...identifier, idServer }]
  if (targets.length === 0) return { result: 'no-support', refusals: [] }
  const { unbound, ...outcome } = await unbindAll(env, userId, targets)
  for (const binding of unbound) await forgetBinding(env, userId, binding)
  return outcome
}

export interface AllIdentifiers {
  /** Where to unbind all of them from, instead of where each was bound. */
  readonly idServer: ServerName | undefined
  /** The contacts of the account: clients may have bound them at `idServer` without us. */
  readonly contacts: readonly BoundIdentifier[]
}

/** Unbinds all identifiers of a user who is no more, and forgets them. `success` where there is nothing to unbind. */
export async function unbindUser(
  env: Env,
  userId: UserId,
  { idServer, contacts }: AllIdentifiers,
): Promise<UnbindResult> {
  const bindings = await findBindings(env, userId)
  const targets =
    idServer === undefined
      ? bindings
      : [...bindings, ...contacts].map(({ medium, address }) => ({ medium, address, idServer }))
  const { result } = await unbindAll(env, userId, unlike(targets))
  if (bindings.length > 0) await forgetBindings(env, userId)
  return result
}

function unlike(bindings: readonly IdentityBinding[]): IdentityBinding[] {
  const keys = bindings.map((binding) => [JSON.stringify(binding), binding] as const)
  return [...new Map(keys).values()]
}

async function unbindAll(
  env: Env,
  userId: UserId,
  targets: readonly IdentityBinding[],
): Promise<Unbound & { readonly unbound: readonly IdentityBinding[] }> {
  const unbound: IdentityBinding[] = []
  const refusals: MatrixError[] = []
  // One after the other: there are few, and connections that wait are fewer.
  for (const { medium, address, idServer } of targets) {
    try {
      const result = await unbindIdentifier(env, idServer, userId, { medium, address })
      if (result === 'success') unbound.push({ medium, address, idServer })
    } catch (error) {
      if (!isMatrixError(error)) throw error
      refusals.push(error)
    }
  }
  return { result: unbound.length === targets.length ? 'success' : 'no-support', refusals, unbound }
}
