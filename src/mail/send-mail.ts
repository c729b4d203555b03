// Mail to users: the one seam between what is said and the three ways by which it goes out.

import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import { log } from '../log.ts'
import type { MailSettings, MailTransport } from './mail-settings.ts'

export interface Mail {
  /** In canonical form. */
  readonly to: string
  readonly subject: string
  readonly text: string
  /** The same as HTML. */
  readonly html: string
  /** Where a mail can be unsubscribed from with one click: a URL that takes a POST. RFC 8058. */
  readonly unsubscribe?: string
}

/** Where the links in mails lead that end them. */
export const unsubscribePath = '/_matrix/client/unstable/hearth/email/unsubscribe'

const timeoutMs = 15_000

/** How this server sends mail. 400 M_THREEPID_MEDIUM_NOT_SUPPORTED where it does not. */
export function requireMail(env: Env): MailSettings {
  const { mail } = config(env)
  if (mail) return mail
  throw new MatrixError('M_THREEPID_MEDIUM_NOT_SUPPORTED', 400, 'This server sends no e-mail')
}

/** Sends a mail. 400 M_EMAIL_SEND_ERROR where that failed, M_THREEPID_MEDIUM_NOT_SUPPORTED where mail is not set up. */
export async function sendMail(env: Env, mail: Mail): Promise<void> {
  const settings = requireMail(env)
  try {
    await send(settings, mail)
  } catch (error) {
    // Not the message, which may quote the address.
    log({ event: 'mail_failed', transport: settings.transport.kind, error: failureCode(error) })
    // As identity servers say it.
    throw new MatrixError('M_EMAIL_SEND_ERROR', 400, 'The mail could not be sent')
  }
}

/** What a provider answered instead of taking a mail. */
class Refused extends Error {
  readonly code: string

  constructor(status: number) {
    super('the mail was refused')
    this.code = `status ${status}`
  }
}

function failureCode(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}

async function send({ transport, from }: MailSettings, mail: Mail): Promise<void> {
  const { to, subject, text, html } = mail
  const headers = mailHeaders(mail)
  if (transport.kind === 'binding') {
    await transport.binding.send({ from, to, subject, text, html, headers })
    return
  }
  const response = await post(transport, {
    // A name of the operator's, checked when the settings were read.
    from: `"${from.name.replace(/["\\]/g, '')}" <${from.email}>`,
    to: [to],
    subject,
    text,
    html,
    headers,
  })
  await response.body?.cancel()
  if (!response.ok) throw new Refused(response.status)
}

async function post(
  transport: Exclude<MailTransport, { kind: 'binding' }>,
  message: Readonly<Record<string, unknown>>,
): Promise<Response> {
  const request = {
    method: 'POST',
    body: JSON.stringify(message),
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
  } as const
  const json = { 'Content-Type': 'application/json' }
  if (transport.kind === 'folder') {
    return await transport.launcher.fetch('http://mail/', { ...request, headers: json })
  }
  const authorization = transport.token ? { Authorization: `Bearer ${transport.token}` } : {}
  return await fetch(transport.url, { ...request, headers: { ...json, ...authorization } })
}

function mailHeaders({ unsubscribe }: Mail): Record<string, string> {
  // Nobody wants an answer from somebody's out-of-office message.
  const noAnswers = { 'X-Auto-Response-Suppress': 'All' }
  if (unsubscribe === undefined) return noAnswers
  return {
    ...noAnswers,
    'List-Unsubscribe': `<${unsubscribe}>`,
    'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click',
  }
}
