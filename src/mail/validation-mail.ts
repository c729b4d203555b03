// What mails say that are about an address: that it is to be confirmed, or why there is nothing to confirm.

import { html } from 'hono/html'
import type { Mail } from './send-mail.ts'

export type ValidationMail =
  | {
      readonly purpose: 'register' | 'password' | 'add'
      /** Where it is confirmed. */
      readonly link: string
      /** For clients that ask for it instead. */
      readonly token: string
    }
  /** Somebody registers with an address that has an account, resets the password of one that has none, or adds a taken one. */
  | { readonly purpose: 'has-account' | 'no-account' | 'taken' }

interface Wording {
  readonly subject: string
  readonly occasion: string
}

const wordings: Record<ValidationMail['purpose'], (server: string) => Wording> = {
  register: (server) => ({
    subject: `Confirm your address for ${server}`,
    occasion: `Somebody is registering an account on ${server} with this address.`,
  }),
  password: (server) => ({
    subject: `Reset your password on ${server}`,
    occasion: `Somebody wants to set a new password for the account on ${server} that has this address.`,
  }),
  add: (server) => ({
    subject: `Confirm your address for ${server}`,
    occasion: `Somebody wants to add this address to an account on ${server}.`,
  }),
  'has-account': (server) => ({
    subject: `Your account on ${server}`,
    occasion: `Somebody tried to register an account on ${server} with this address. It belongs to an account already: if that was you, log in with it, or reset its password.`,
  }),
  'no-account': (server) => ({
    subject: `No account on ${server}`,
    occasion: `Somebody wanted to set a new password for an account on ${server} with this address. No account has it: if that was you, try another address, or register.`,
  }),
  taken: (server) => ({
    subject: `Your account on ${server}`,
    occasion: `Somebody tried to add this address to an account on ${server}. It belongs to an account already; remove it there first.`,
  }),
}

const ifNot = 'If it was not you, you need not do anything.'
const ifSo =
  'If it was you, open this link and confirm it there. Do not do so because somebody else asks you to: they would get into your account.'

/** The mail to an address on behalf of a server. */
export async function validationMail(server: string, to: string, mail: ValidationMail): Promise<Mail> {
  const { subject, occasion } = wordings[mail.purpose](server)
  if (!('link' in mail)) {
    const text = `${occasion}\n\n${ifNot}\n`
    return {
      to,
      subject,
      text,
      html: String(
        await html`<p>${occasion}</p>
          <p>${ifNot}</p>`,
      ),
    }
  }
  const { link, token } = mail
  const text = `${occasion}\n\n${ifSo}\n\n${link}\n\nShould your application ask for a token, it is ${token}\n\n${ifNot}\n`
  const document = await html`<p>${occasion}</p>
    <p>${ifSo}</p>
    <p><a href="${link}">${link}</a></p>
    <p>Should your application ask for a token, it is <code>${token}</code></p>
    <p>${ifNot}</p>`
  return { to, subject, text, html: String(document) }
}
