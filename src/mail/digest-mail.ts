// The mail that tells of what somebody has not read. Names and texts are those of anybody: they stand in no header.

import { html } from 'hono/html'
import type { Digest, DigestRoom } from '../push/email-digest.ts'
import type { Mail } from './send-mail.ts'

/** The mail to an address on behalf of a server. `unsubscribe` is a URL that ends such mails. */
export async function digestMail(
  server: string,
  to: string,
  digest: Digest,
  unsubscribe: string,
): Promise<Mail> {
  const more = digest.more > 0 ? [`There is more in other rooms: ${digest.more}.`] : []
  const document = await html`<p>This is unread on ${server}:</p>
    ${digest.rooms.map(
      (room) =>
        html`<h3>${title(room)}</h3>
          <ul>
            ${lines(room).map((line) => html`<li>${line}</li>`)}
          </ul>`,
    )}
    ${more.map((line) => html`<p>${line}</p>`)}
    <p><a href="${unsubscribe}">No more such mails</a></p>`
  const rooms = digest.rooms.map((room) =>
    [title(room), ...lines(room).map((line) => `- ${line}`)].join('\n'),
  )
  const end = `No more such mails: ${unsubscribe}`
  return {
    to,
    subject: `Unread messages on ${server}`,
    text: [`This is unread on ${server}:`, ...rooms, ...more, end].join('\n\n') + '\n',
    html: String(document),
    unsubscribe,
  }
}

function title({ name }: DigestRoom): string {
  return oneLine(name ?? 'A room without a name')
}

function lines({ entries, more }: DigestRoom): string[] {
  const earlier = more > 0 ? [`${more} more before`] : []
  return [...earlier, ...entries.map(({ sender, text }) => `${oneLine(sender)}: ${oneLine(text)}`)]
}

function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
}
