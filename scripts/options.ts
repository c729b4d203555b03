// The launcher's options: command line first, then HEARTH_… variables of the environment, then defaults.

import { isIP } from 'node:net'
import { parseArgs } from 'node:util'
import { parseServerName } from '../src/matrix/identifiers.ts'
import { roomVersion } from '../src/matrix/room-version.ts'
import { readWranglerConfig } from './wrangler-config.ts'

/** What ends the launcher with one line and exit status 1. */
export class StartError extends Error {}

interface Option {
  readonly name: string
  readonly value: string
  readonly help: string
  readonly default?: string | undefined
  /** Returns what the value should be if it is wrong. */
  readonly check: (text: string) => string | undefined
}

const { vars } = readWranglerConfig()

const options: readonly Option[] = [
  {
    name: 'server-name',
    value: 'NAME',
    help: 'name after the colon in user ids; can never change once the server has started with it',
    check: (text) => (parseServerName(text) ? undefined : 'a server name such as example.org'),
  },
  {
    name: 'host',
    value: 'ADDRESS',
    help: 'address to listen on; 0.0.0.0 or :: for all',
    default: 'localhost',
    check: (text) => (text === 'localhost' || isIP(text) > 0 ? undefined : 'localhost or an IP address'),
  },
  {
    name: 'port',
    value: 'N',
    help: 'port to listen on',
    default: '8008',
    check: (text) => (isInteger(text, 1, 65535) ? undefined : 'a number from 1 to 65535'),
  },
  {
    name: 'tls-port',
    value: 'N',
    help: 'port to listen on with TLS, for other servers; needs the two files below',
    default: '8448',
    check: (text) => (isInteger(text, 1, 65535) ? undefined : 'a number from 1 to 65535'),
  },
  { name: 'tls-key', value: 'FILE', help: 'private key in PEM', check: nonEmpty },
  {
    name: 'tls-cert',
    value: 'FILE',
    help: 'certificate and those between it and its authority, in PEM',
    check: nonEmpty,
  },
  {
    name: 'extra-ca',
    value: 'FILE',
    help: 'certificates in PEM of authorities that other servers may have theirs from, besides the usual ones',
    check: nonEmpty,
  },
  {
    name: 'allow-private-networks',
    value: 'on|off',
    help: 'reach other servers at loopback and private addresses too, for tests and closed networks',
    ...oneOf('off', ['on', 'off']),
  },
  {
    name: 'key-notaries',
    value: 'NAMES',
    help: 'servers to ask for keys of servers that do not answer, with commas between them; may be empty',
    default: vars.KEY_NOTARIES,
    check: (text) =>
      text.split(',').every((name) => text === '' || parseServerName(name.trim()))
        ? undefined
        : 'server names with commas between them',
  },
  {
    name: 'sender-back-off',
    value: 'SECONDS',
    help: 'how long a server that cannot be reached is left alone at first; doubled with each further try',
    default: vars.SENDER_BACK_OFF_SECONDS,
    check: (text) => (isInteger(text, 1, 86_400) ? undefined : 'a number of seconds'),
  },
  { name: 'data', value: 'FOLDER', help: 'where all data is kept', default: './data', check: nonEmpty },
  {
    name: 'registration',
    value: 'MODE',
    help: 'who may register: open (anyone), token (with a registration token) or closed (nobody)',
    ...oneOf('token', ['open', 'token', 'closed']),
  },
  { name: 'rate-limits', value: 'on|off', help: 'limits on requests', ...oneOf('on', ['on', 'off']) },
  {
    name: 'default-room-version',
    value: 'VERSION',
    help: 'version of new rooms',
    default: vars.DEFAULT_ROOM_VERSION,
    check: (text) => (roomVersion(text) ? undefined : 'a room version from 1 to 12'),
  },
  {
    name: 'max-upload-size',
    value: 'BYTES',
    help: 'largest upload',
    default: vars.MAX_UPLOAD_SIZE,
    check: (text) => (isInteger(text, 1, 999_999_999_999) ? undefined : 'a number of bytes'),
  },
  {
    name: 'remote-media-cache-size',
    value: 'BYTES',
    help: 'how much media of other servers is kept',
    default: vars.REMOTE_MEDIA_CACHE_SIZE,
    check: (text) => (isInteger(text, 1, 999_999_999_999) ? undefined : 'a number of bytes'),
  },
  {
    name: 'unauthenticated-media',
    value: 'on|off',
    help: 'serve media also on the deprecated endpoints, to anyone who knows its id',
    ...oneOf('off', ['on', 'off']),
  },
  {
    name: 'url-previews',
    value: 'on|off',
    help: 'fetch pages that users link to, for previews',
    ...oneOf('on', ['on', 'off']),
  },
  {
    name: 'presence',
    value: 'on|off',
    help: 'show users who of those they share a room with is online',
    ...oneOf('on', ['on', 'off']),
  },
  {
    name: 'device-names',
    value: 'on|off',
    help: 'tell other servers what users call their devices',
    ...oneOf('on', ['on', 'off']),
  },
  {
    name: 'registration-shared-secret',
    value: 'SECRET',
    help: 'opens /_synapse/admin/v1/register to scripts that know the secret',
    check: nonEmpty,
  },
  {
    name: 'terms-policies',
    value: 'JSON',
    help: 'documents to accept at registration, see docs/operators.md',
    check: nonEmpty,
  },
  {
    name: 'captcha',
    value: 'SERVICE',
    help: 'what those who register solve: recaptcha or turnstile; needs the two keys below',
    ...oneOf('off', ['off', 'recaptcha', 'turnstile']),
  },
  { name: 'captcha-site-key', value: 'KEY', help: 'public key of the captcha', check: nonEmpty },
  { name: 'captcha-secret-key', value: 'KEY', help: 'secret key of the captcha', check: nonEmpty },
  {
    name: 'captcha-hostnames',
    value: 'NAMES',
    help: 'host names where a captcha counts that was solved there, with commas between them',
    check: nonEmpty,
  },
  {
    name: 'turn-uris',
    value: 'URIS',
    help: 'TURN servers for calls, with commas between them; needs the secret below',
    check: nonEmpty,
  },
  {
    name: 'turn-shared-secret',
    value: 'SECRET',
    help: 'what the TURN servers make their passwords from',
    check: nonEmpty,
  },
  {
    name: 'public-base-url',
    value: 'URL',
    help: 'where clients reach this server, such as https://matrix.example.org',
    check: webUrl,
  },
  {
    name: 'sso-providers',
    value: 'JSON',
    help: 'identity providers to sign in with, see docs/operators.md; needs the URL above',
    check: nonEmpty,
  },
  {
    name: 'sso-client-whitelist',
    value: 'URLS',
    help: 'clients to sign in to without being asked, with commas between them',
    check: nonEmpty,
  },
  {
    name: 'password-login',
    value: 'on|off',
    help: 'log in and register by password, besides single sign-on',
    ...oneOf('on', ['on', 'off']),
  },
  {
    name: 'oauth',
    value: 'on|off',
    help: 'offer the OAuth 2.0 API besides the legacy one; it needs --public-base-url',
    ...oneOf('off', ['on', 'off']),
  },
  {
    name: 'mail-from',
    value: 'ADDRESS',
    help: 'sender of mails, as Name <address>; mail needs this, the public base URL and one of the two below',
    check: nonEmpty,
  },
  {
    name: 'mail-url',
    value: 'URL',
    help: 'where a provider takes mails, as JSON',
    check: webUrl,
  },
  {
    name: 'mail-token',
    value: 'TOKEN',
    help: 'what the provider knows us by',
    check: nonEmpty,
  },
  {
    name: 'mail-dir',
    value: 'FOLDER',
    help: 'where mails are written to instead of being sent, for development',
    check: nonEmpty,
  },
  {
    name: 'mail-notify-after',
    value: 'SECONDS',
    help: 'how long something is unread before users who want that are told by mail',
    default: '600',
    check: (text) => (isInteger(text, 1, 86_400) ? undefined : 'a number of seconds'),
  },
  {
    name: 'registration-email',
    value: 'MODE',
    help: 'whether those who register give an address, where there is mail: off, optional or required',
    ...oneOf('optional', ['off', 'optional', 'required']),
  },
  {
    name: 'email-domains',
    value: 'NAMES',
    help: 'domains that addresses of users may have, with commas between them; all by default',
    check: nonEmpty,
  },
  {
    name: 'tell-threepids',
    value: 'on|off',
    help: 'tell anyone who asks whether an address has an account, instead of its owner alone',
    ...oneOf('off', ['on', 'off']),
  },
  {
    name: 'appservices',
    value: 'FILES',
    help: 'registrations of application services, such as bridges, with commas between them; or a folder of them',
    check: nonEmpty,
  },
  {
    name: 'client-address-header',
    value: 'HEADER',
    help: 'header in which a reverse proxy passes the address of the client, such as X-Forwarded-For',
    check: (text) => (/^[A-Za-z][A-Za-z0-9-]*$/.test(text) ? undefined : 'the name of a request header'),
  },
]

export interface TlsSettings {
  readonly port: number
  /** Paths. */
  readonly key: string
  readonly cert: string
}

export interface Settings {
  readonly serverName: string | undefined
  readonly host: string
  readonly port: number
  readonly data: string
  readonly tls: TlsSettings | undefined
  /** A path. */
  readonly extraCa: string | undefined
  readonly allowPrivateNetworks: boolean
  /** A path. */
  readonly mailDir: string | undefined
  /** Paths of registrations, and of folders of them. */
  readonly appservices: readonly string[]
  /** Text variables of the Worker. */
  readonly vars: Readonly<Record<string, string>>
}

/** The settings of this start, or 'help'. Throws a StartError that names what is wrong. */
export function readSettings(args: readonly string[], env: NodeJS.ProcessEnv): Settings | 'help' {
  const given = parse(args)
  if (given.help === true) return 'help'
  const value = (name: string) => read(name, given[name], env)
  const required = (name: string) => value(name) ?? ''
  const variables = {
    REGISTRATION: value('registration'),
    RATE_LIMITS: value('rate-limits'),
    DEFAULT_ROOM_VERSION: value('default-room-version'),
    MAX_UPLOAD_SIZE: value('max-upload-size'),
    REMOTE_MEDIA_CACHE_SIZE: value('remote-media-cache-size'),
    UNAUTHENTICATED_MEDIA: value('unauthenticated-media'),
    URL_PREVIEWS: value('url-previews'),
    KEY_NOTARIES: value('key-notaries'),
    PRESENCE: value('presence'),
    DEVICE_NAMES: value('device-names'),
    SENDER_BACK_OFF_SECONDS: value('sender-back-off'),
    REGISTRATION_SHARED_SECRET: value('registration-shared-secret'),
    TERMS_POLICIES: value('terms-policies'),
    CAPTCHA: value('captcha'),
    CAPTCHA_SITE_KEY: value('captcha-site-key'),
    CAPTCHA_SECRET_KEY: value('captcha-secret-key'),
    CAPTCHA_HOSTNAMES: value('captcha-hostnames'),
    TURN_URIS: value('turn-uris'),
    TURN_SHARED_SECRET: value('turn-shared-secret'),
    PUBLIC_BASE_URL: value('public-base-url'),
    SSO_PROVIDERS: value('sso-providers'),
    SSO_CLIENT_WHITELIST: value('sso-client-whitelist'),
    PASSWORD_LOGIN: value('password-login'),
    OAUTH: value('oauth'),
    MAIL_FROM: value('mail-from'),
    MAIL_URL: value('mail-url'),
    MAIL_TOKEN: value('mail-token'),
    MAIL_NOTIFY_AFTER_SECONDS: value('mail-notify-after'),
    REGISTRATION_EMAIL: value('registration-email'),
    EMAIL_DOMAINS: value('email-domains'),
    TELL_THREEPIDS: value('tell-threepids'),
    CLIENT_ADDRESS_HEADER: value('client-address-header'),
    // There is more memory here than on the platform.
    MAX_THUMBNAIL_PIXELS: '40000000',
  }
  const vars = Object.entries(variables).flatMap(([name, text]) => (text === undefined ? [] : [[name, text]]))
  return {
    serverName: value('server-name'),
    host: required('host'),
    port: Number(required('port')),
    data: required('data'),
    tls: tlsSettings(value('tls-key'), value('tls-cert'), Number(required('tls-port'))),
    extraCa: value('extra-ca'),
    allowPrivateNetworks: value('allow-private-networks') === 'on',
    mailDir: value('mail-dir'),
    appservices: (value('appservices')?.split(',') ?? [])
      .map((path) => path.trim())
      .filter((path) => path !== ''),
    vars: Object.fromEntries(vars),
  }
}

function tlsSettings(
  key: string | undefined,
  cert: string | undefined,
  port: number,
): TlsSettings | undefined {
  if (key === undefined && cert === undefined) return undefined
  if (key === undefined) throw new StartError('--tls-cert needs --tls-key')
  if (cert === undefined) throw new StartError('--tls-key needs --tls-cert')
  return { key, cert, port }
}

function read(name: string, flag: string | boolean | undefined, env: NodeJS.ProcessEnv): string | undefined {
  const option = options.find((candidate) => candidate.name === name)
  const text = typeof flag === 'string' ? flag : env[environmentName(name)]
  if (text === undefined) return option?.default
  const expected = option?.check(text)
  if (expected === undefined) return text
  const source = flag === undefined ? environmentName(name) : `--${name}`
  throw new StartError(`${source} must be ${expected}, not '${text}'`)
}

function parse(args: readonly string[]): Record<string, string | boolean | undefined> {
  try {
    const known = options.map(({ name }) => [name, { type: 'string' }] as const)
    return parseArgs({
      args: [...args],
      options: { ...Object.fromEntries(known), help: { type: 'boolean', short: 'h' } },
    }).values
  } catch (error) {
    // Node's messages go on with advice after the first sentence.
    const [message] = String(error instanceof Error ? error.message : error).split(/[.\n] ?/)
    throw new StartError(`${message}; npm start -- --help lists the options`)
  }
}

/** The text of `--help`. */
export function helpText(): string {
  const rows = options.map((option) => {
    const standard = option.default === undefined ? '' : ` (${option.default})`
    return `  --${option.name} ${option.value}\n      ${option.help}${standard}\n      ${environmentName(option.name)}`
  })
  return [
    'npm start -- [options]',
    '',
    'Starts the homeserver. Each option can also be given by the variable of the environment below it.',
    '',
    ...rows,
    '  --help\n      this text',
  ].join('\n')
}

function environmentName(name: string): string {
  return `HEARTH_${name.replaceAll('-', '_').toUpperCase()}`
}

function nonEmpty(text: string): string | undefined {
  return text === '' ? 'something' : undefined
}

function webUrl(text: string): string | undefined {
  return /^https?:$/.test(URL.parse(text)?.protocol ?? '') ? undefined : 'an http or https URL'
}

function oneOf(standard: string, allowed: readonly string[]): Pick<Option, 'default' | 'check'> {
  const expected = `${allowed.slice(0, -1).join(', ')} or ${allowed.at(-1)}`
  return { default: standard, check: (text) => (allowed.includes(text) ? undefined : expected) }
}

function isInteger(text: string, min: number, max: number): boolean {
  return /^\d{1,12}$/.test(text) && Number(text) >= min && Number(text) <= max
}
