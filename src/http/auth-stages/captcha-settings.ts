// Which captcha those who register solve, from the CAPTCHA variables: see docs/operators.md, "Registration".

import type { Env } from '../../env.ts'
import type { Sources } from '../../web/page.ts'

/** What the two services have in common but for names and addresses. */
interface CaptchaService {
  /** Script of the widget, which fills the form field in. */
  readonly script: string
  readonly widgetClass: string
  readonly field: string
  readonly verifyUrl: string
  readonly sources: Sources
}

const services = {
  recaptcha: {
    script: 'https://www.google.com/recaptcha/api.js',
    widgetClass: 'g-recaptcha',
    field: 'g-recaptcha-response',
    verifyUrl: 'https://www.google.com/recaptcha/api/siteverify',
    sources: {
      script: ['https://www.google.com/recaptcha/', 'https://www.gstatic.com/recaptcha/'],
      frame: ['https://www.google.com/recaptcha/', 'https://recaptcha.google.com/recaptcha/'],
      connect: ['https://www.google.com/recaptcha/'],
    },
  },
  turnstile: {
    script: 'https://challenges.cloudflare.com/turnstile/v0/api.js',
    widgetClass: 'cf-turnstile',
    field: 'cf-turnstile-response',
    verifyUrl: 'https://challenges.cloudflare.com/turnstile/v0/siteverify',
    sources: {
      script: ['https://challenges.cloudflare.com/turnstile/'],
      frame: ['https://challenges.cloudflare.com'],
      connect: ['https://challenges.cloudflare.com'],
    },
  },
} as const satisfies Record<string, CaptchaService>

export type CaptchaKind = keyof typeof services

export interface CaptchaSettings extends CaptchaService {
  readonly kind: CaptchaKind
  readonly siteKey: string
  readonly secretKey: string
  /** Where a captcha counts that was solved there; anywhere, as far as the service lets it, if there are none. */
  readonly hostnames: readonly string[]
}

/** Undefined where nobody has to solve one. Throws an Error naming the variable that makes no sense. */
export function captchaSettings(env: Env): CaptchaSettings | undefined {
  const { CAPTCHA: kind = 'off', CAPTCHA_SITE_KEY: siteKey, CAPTCHA_SECRET_KEY: secretKey } = env
  if (kind === 'off') return undefined
  if (kind !== 'recaptcha' && kind !== 'turnstile') {
    throw new Error(`CAPTCHA must be one of off, recaptcha, turnstile, not ${kind}`)
  }
  if (!siteKey || !secretKey) throw new Error('CAPTCHA needs CAPTCHA_SITE_KEY and CAPTCHA_SECRET_KEY')
  const hostnames = (env.CAPTCHA_HOSTNAMES ?? '').split(/[\s,]+/).filter((name) => name !== '')
  const service = services[kind]
  const verifyUrl = env.CAPTCHA_VERIFY_URL ? checkedUrl(env.CAPTCHA_VERIFY_URL) : service.verifyUrl
  return { ...service, kind, siteKey, secretKey, verifyUrl, hostnames }
}

// The secret goes there: encrypted, or not off this machine.
function checkedUrl(text: string): string {
  const url = URL.parse(text)
  if (url?.protocol === 'https:') return url.href
  if (url?.protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname)) return url.href
  throw new Error(`CAPTCHA_VERIFY_URL must be an https URL, or http at loopback, not ${text}`)
}
