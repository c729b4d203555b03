// The account of an application service's sender. It need not be registered: the registration of the application service is that
// of its sender, and whoever comes first has it made: itself by its first request, or somebody who invites it before that.

import { randomInt } from 'node:crypto'
import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { log } from '../log.ts'
import type { UserId } from '../matrix/event.ts'
import { findUser, insertUser, type User } from '../storage/users.ts'

/** The account of a user, also of a sender that had none yet. Undefined for others who are not registered. */
export async function findOrMakeSender(env: Env, userId: UserId): Promise<User | undefined> {
  const { appservices, hubShards } = config(env)
  const user = await findUser(env, userId)
  if (user || appservices.every(({ sender }) => sender !== userId)) return user
  const shard = randomInt(hubShards)
  const account = { userId, shard, passwordHash: null, admin: false, guest: false, createdAt: Date.now() }
  // Another request may have been faster.
  if (await insertUser(env, account)) log({ event: 'user_registered', user_id: userId })
  return await findUser(env, userId)
}
