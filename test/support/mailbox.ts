// Mail of a test server, kept in memory instead of being sent.

import { setTimeout as sleep } from 'node:timers/promises'
import type { NodeHandler } from '../../scripts/federation-transport.ts'
import type { TestServer } from './server.ts'

/** A mail as it is handed over. */
export interface SentMail {
  readonly from: string
  readonly to: readonly string[]
  readonly subject: string
  readonly text: string
  readonly html: string
  readonly headers: Readonly<Record<string, string>>
}

/** Where the links of mails lead; `linkIn` leaves it out. */
export const mailBaseUrl = 'https://matrix.test'

/** Variables of a server that sends mail. */
export const mailVars = { MAIL_FROM: 'Hearth <noreply@test.local>', PUBLIC_BASE_URL: mailBaseUrl }

export type Mailbox = ReturnType<typeof mailbox>

/** A mailbox for a server's option `mail`. `fails` may be set at any time. */
export function mailbox() {
  const received: SentMail[] = []
  const handler: NodeHandler = async (request, response) => {
    const body = Buffer.concat(await request.toArray()).toString('utf8')
    if (!box.fails) received.push(JSON.parse(body))
    response.writeHead(box.fails ? 500 : 200).end()
  }
  const box = {
    received,
    /** Whether mails are refused. */
    fails: false,
    handler,
    /** The mails to an address once there are so many. Rejects after ten seconds. */
    async mailsTo(address: string, count = 1): Promise<SentMail[]> {
      for (let tries = 0; tries < 200; tries++) {
        const found = received.filter(({ to }) => to.includes(address))
        if (found.length >= count) return found
        await sleep(50)
      }
      throw new Error(`there are ${JSON.stringify(received)}`)
    },
  }
  return box
}

/** The path and query of the first link to the server in a mail. */
export function linkIn({ text }: SentMail): string {
  const link = text.split(/\s+/).find((word) => word.startsWith(`${mailBaseUrl}/`))
  if (link === undefined) throw new Error(`no link in ${text}`)
  return link.slice(mailBaseUrl.length)
}

/** The token that a mail names, and the session its link is for. */
export function tokenIn(mail: SentMail): { sid: string; token: string } {
  const query = new URL(linkIn(mail), mailBaseUrl).searchParams
  return { sid: query.get('sid') ?? '', token: query.get('token') ?? '' }
}

/** Confirms an address as its owner does: by the button on the page that the link leads to. */
export async function confirm(server: Pick<TestServer, 'fetch'>, mail: SentMail): Promise<Response> {
  return await server.fetch('/_matrix/client/unstable/hearth/email/confirm', {
    method: 'POST',
    body: new URLSearchParams(tokenIn(mail)),
    redirect: 'manual',
  })
}
