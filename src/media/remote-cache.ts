// How much media of other servers stays here. What was not asked for the longest goes when all of it is more than the operator
// allows, and what nobody has asked for in two months. It can be had again.
// Specification: client-server API, "Content repository", "Security considerations".

import type { Env } from '../env.ts'
import { errorMessage, log } from '../log.ts'
import {
  forgetRemoteMedia,
  leastUsedRemoteMedia,
  type RemoteMedia,
  remoteMediaBytes,
} from '../storage/remote-media.ts'
import { mediaConfig } from './media-config.ts'

const longestUnusedMs = 60 * 24 * 60 * 60_000
const longestBetweenMs = 60 * 60_000
// Each takes two subrequests at least, of which the free plan has 50.
const mostAtOnce = 12

// Of this isolate. What others add they look after themselves.
let lookAgainAt = 0
let addedBytes = 0

/**
 * Makes room after `added` more bytes. Since it has to read all rows, it looks only once an hour, and whenever a twentieth of what
 * may be kept has been added. Never rejects.
 */
export async function trimRemoteMedia(env: Env, added: number): Promise<void> {
  const { remoteCacheBytes } = mediaConfig(env)
  const now = Date.now()
  addedBytes += added
  if (now < lookAgainAt && addedBytes < remoteCacheBytes / 20) return
  lookAgainAt = now + longestBetweenMs
  addedBytes = 0
  try {
    if (await trim(env, remoteCacheBytes, now)) lookAgainAt = 0
  } catch (error) {
    log({ event: 'remote_media_not_trimmed', error: errorMessage(error) })
  }
}

/** Whether there may be more to do. */
async function trim(env: Env, allowed: number, now: number): Promise<boolean> {
  let tooMuch = (await remoteMediaBytes(env)) - allowed
  const before = tooMuch > 0 ? now : now - longestUnusedMs
  const gone: RemoteMedia[] = []
  for (const media of await leastUsedRemoteMedia(env, before, mostAtOnce)) {
    if (tooMuch <= 0 && media.usedAt >= now - longestUnusedMs) break
    await deleteContent(env.MEDIA, media)
    gone.push(media)
    tooMuch -= media.object === null ? 0 : media.size
  }
  // Last: a row without content is noticed when it is asked for, content without a row never.
  await forgetRemoteMedia(env, gone)
  return gone.length === mostAtOnce
}

async function deleteContent(bucket: R2Bucket, { object }: RemoteMedia): Promise<void> {
  if (object === null) return
  await bucket.delete(object)
  for (;;) {
    const { objects, truncated } = await bucket.list({ prefix: `thumbnails/${object}/`, limit: 1000 })
    if (objects.length > 0) await bucket.delete(objects.map(({ key }) => key))
    if (!truncated) return
  }
}
