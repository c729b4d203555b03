// Asks the captcha's service whether it was solved. Fails closed: whatever is not a clear yes is a no.

import { errorMessage, log } from '../../log.ts'
import { isJsonObject, type JsonObject, property, stringProperty } from '../../matrix/json.ts'
import { boundedBody } from '../bounded-body.ts'
import type { CaptchaSettings } from './captcha-settings.ts'

const timeoutMs = 10_000
const maxAnswerBytes = 16 * 1024
const longestResponse = 16 * 1024

/** `unverified` where the service could not be asked, or finds fault with us: the same response may do later. */
export type CaptchaVerdict = 'solved' | 'not-solved' | 'unverified'

/** What a captcha's response is worth. The service learns nothing of the user, not even their address. */
export async function verifyCaptcha(settings: CaptchaSettings, response: string): Promise<CaptchaVerdict> {
  if (response === '' || response.length > longestResponse) return 'not-solved'
  try {
    return verdict(settings, await askService(settings, response))
  } catch (error) {
    log({ event: 'captcha_not_verified', error: errorMessage(error) })
    return 'unverified'
  }
}

async function askService(settings: CaptchaSettings, response: string): Promise<JsonObject> {
  const { verifyUrl, secretKey: secret } = settings
  const answer = await fetch(verifyUrl, {
    method: 'POST',
    body: new URLSearchParams({ secret, response }),
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
  })
  const bytes = await boundedBody(answer.body, maxAnswerBytes)
  // Turnstile gives its reasons with status 400.
  if (bytes === undefined || (!answer.ok && answer.status !== 400)) {
    throw new Error(`the service answered with status ${answer.status}`)
  }
  const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
  if (!isJsonObject(value)) throw new Error('the service answered with something else than an object')
  return value
}

function verdict({ hostnames }: CaptchaSettings, answer: JsonObject): CaptchaVerdict {
  if (property(answer, 'success') === true) {
    // Anybody can put our site key on a page of theirs, and pass on what its readers solve there.
    const hostname = stringProperty(answer, 'hostname')
    const here = hostnames.length === 0 || (hostname !== undefined && hostnames.includes(hostname))
    return here ? 'solved' : 'not-solved'
  }
  const fault = ourFault(answer)
  if (fault === undefined) return 'not-solved'
  log({ event: 'captcha_not_verified', error: fault })
  return 'unverified'
}

function ourFault(answer: JsonObject): string | undefined {
  const codes = property(answer, 'error-codes')
  if (!Array.isArray(codes)) return undefined
  return codes.filter((code) => typeof code === 'string').find((code) => ourFaults.has(code))
}

const ourFaults = new Set(['missing-input-secret', 'invalid-input-secret', 'bad-request', 'internal-error'])
