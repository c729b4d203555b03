// Which identifiers users have bound through this server, and where, so that they can be unbound.

import { and, eq } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { BoundIdentifier } from '../identity/binding.ts'
import type { ServerName, UserId } from '../matrix/event.ts'
import { database } from './database.ts'
import { identityBindings } from './schema/identity-bindings.ts'

export interface IdentityBinding extends BoundIdentifier {
  readonly idServer: ServerName
}

/** All that a user has bound. */
export async function findBindings(env: Env, userId: UserId): Promise<IdentityBinding[]> {
  const { medium, address, idServer } = identityBindings
  return await database(env)
    .select({ medium, address, idServer })
    .from(identityBindings)
    .where(eq(identityBindings.userId, userId))
}

/** Remembers a binding. */
export async function keepBinding(env: Env, userId: UserId, binding: IdentityBinding): Promise<void> {
  const { medium, address, idServer } = binding
  await database(env)
    .insert(identityBindings)
    .values({ userId, medium, address, idServer })
    .onConflictDoNothing()
}

/** Forgets a binding. */
export async function forgetBinding(env: Env, userId: UserId, binding: IdentityBinding): Promise<void> {
  await database(env)
    .delete(identityBindings)
    .where(
      and(
        eq(identityBindings.userId, userId),
        eq(identityBindings.medium, binding.medium),
        eq(identityBindings.address, binding.address),
        eq(identityBindings.idServer, binding.idServer),
      ),
    )
}

/** Forgets all that a user has bound. */
export async function forgetBindings(env: Env, userId: UserId): Promise<void> {
  await database(env).delete(identityBindings).where(eq(identityBindings.userId, userId))
}
