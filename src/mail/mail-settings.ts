// How this server sends mail, from variables and bindings: see docs/operators.md, "Mail".

import type { Env } from '../env.ts'
import { canonicalEmail } from '../matrix/email-address.ts'
import { integer, oneOf } from '../settings.ts'

export interface MailSettings {
  readonly transport: MailTransport
  readonly from: { readonly name: string; readonly email: string }
  /** Where the links in mails lead, without a slash at the end. */
  readonly baseUrl: string
  /** Whether an address is asked for at registration. */
  readonly registration: 'off' | 'optional' | 'required'
  /** The domains that addresses may have, in lower case; all where there are none. */
  readonly emailDomains: readonly string[]
  /** Whether whoever asks for a token is told that an address has an account, instead of the owner of the address alone. */
  readonly tellThreepids: boolean
  /** How long something is unread before a mail tells of it, in milliseconds. */
  readonly notifyAfterMs: number
}

/** The platform's binding, an HTTP provider, or the launcher, which writes into a folder. */
export type MailTransport =
  | { readonly kind: 'binding'; readonly binding: SendEmail }
  | { readonly kind: 'http'; readonly url: string; readonly token: string | undefined }
  | { readonly kind: 'folder'; readonly launcher: Fetcher }

/** Undefined where there is no way to send mail. Throws an Error naming the variable that makes no sense. */
export function mailSettings(env: Env): MailSettings | undefined {
  const registration = oneOf('REGISTRATION_EMAIL', env.REGISTRATION_EMAIL || 'optional', [
    'optional',
    'off',
    'required',
  ])
  const transport = mailTransport(env)
  if (transport === undefined) {
    if (env.MAIL_FROM)
      throw new Error('MAIL_FROM needs MAIL_URL, or the binding EMAIL: see docs/operators.md')
    if (registration === 'required') throw new Error('REGISTRATION_EMAIL needs mail: see docs/operators.md')
    return undefined
  }
  const emailDomains = (env.EMAIL_DOMAINS ?? '').toLowerCase().split(/[\s,]+/)
  return {
    transport,
    from: sender(env),
    baseUrl: baseUrl(env),
    registration,
    emailDomains: emailDomains.filter((domain) => domain !== ''),
    tellThreepids: oneOf('TELL_THREEPIDS', env.TELL_THREEPIDS || 'off', ['off', 'on']) === 'on',
    notifyAfterMs:
      1000 * integer('MAIL_NOTIFY_AFTER_SECONDS', env.MAIL_NOTIFY_AFTER_SECONDS || '600', 86_400),
  }
}

function mailTransport(env: Env): MailTransport | undefined {
  if (env.MAIL_URL) return { kind: 'http', url: webUrl('MAIL_URL', env.MAIL_URL).href, token: env.MAIL_TOKEN }
  if (env.MAIL_SINK) return { kind: 'folder', launcher: env.MAIL_SINK }
  return env.EMAIL && { kind: 'binding', binding: env.EMAIL }
}

function sender({ MAIL_FROM: text, SERVER_NAME: serverName }: Env): MailSettings['from'] {
  if (!text) throw new Error('MAIL_FROM must name the sender of mails')
  const parts = /^(?:([^<>"\r\n]*?)\s*<([^<>]+)>|([^<>]+))$/.exec(text.trim())
  const email = parts?.[2] ?? parts?.[3] ?? ''
  if (canonicalEmail(email) === undefined) {
    throw new Error(`MAIL_FROM must be an address, or Name <address>, not ${text}`)
  }
  return { name: parts?.[1] || serverName, email }
}

// The Host header of a request says nothing of where this server is: whoever asks for a mail could have its link lead away.
function baseUrl({ PUBLIC_BASE_URL: text }: Env): string {
  if (!text) throw new Error('PUBLIC_BASE_URL must be set for links in mails')
  return webUrl('PUBLIC_BASE_URL', text).href.replace(/\/+$/, '')
}

function webUrl(name: string, text: string): URL {
  const url = URL.parse(text)
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return url
  throw new Error(`${name} must be an http or https URL, not ${text}`)
}
