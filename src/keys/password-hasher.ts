// Hashes and checks passwords, one at a time: scrypt is computed synchronously, so it must not sit where others wait.

import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../env.ts'
import { limitExceeded } from '../http/rate-limit.ts'
import { hashPassword, isPasswordOf } from './password-hash.ts'

const maxWaiting = 32

export class PasswordHasher extends DurableObject<Env> {
  #waiting = 0
  #last: Promise<unknown> = Promise.resolve()

  /** A new hash of a password, as a PHC string. 429 M_LIMIT_EXCEEDED when too many wait. */
  async hash(password: string): Promise<string> {
    return await this.#queued(() => hashPassword(password))
  }

  /** Whether a password fits a hash; takes as long where there is none. 429 M_LIMIT_EXCEEDED when too many wait. */
  async verify(phc: string | null, password: string): Promise<boolean> {
    return await this.#queued(() => isPasswordOf(phc, password))
  }

  async #queued<T>(work: () => T): Promise<T> {
    if (this.#waiting >= maxWaiting) throw limitExceeded(5000)
    this.#waiting += 1
    const result = this.#last.then(async () => {
      // Lets calls that arrived meanwhile in, so that they are counted and refused.
      await scheduler.wait(0)
      return work()
    })
    this.#last = result.catch(() => undefined)
    try {
      return await result
    } finally {
      this.#waiting -= 1
    }
  }
}
