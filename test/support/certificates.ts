// Certificates of an authority that exists for one test run, made with openssl.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Certificate {
  /** PEM. */
  readonly key: string
  readonly cert: string
}

export interface Authority {
  /** Its own certificate in PEM, for those who should trust it. */
  readonly ca: string
  /** A certificate for DNS names and IP addresses. */
  readonly issue: (...names: string[]) => Certificate
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc', '-days', '2']

/** A new authority. */
export function makeAuthority(): Authority {
  const authority = inFolder((folder) => {
    openssl(folder, [
      'req',
      '-x509',
      ...newKey,
      '-subj',
      '/CN=Test authority',
      '-keyout',
      'key',
      '-out',
      'cert',
    ])
    return readPair(folder)
  })
  const issue = (...names: string[]) =>
    inFolder((folder) => {
      const alternatives = names.map((name) => `${isIP(name) > 0 ? 'IP' : 'DNS'}:${name}`).join(',')
      const extensions = [`subjectAltName=${alternatives}`, 'basicConstraints=CA:FALSE']
      writePair(folder, authority)
      const signedByAuthority = ['-CA', 'ca-cert', '-CAkey', 'ca-key', '-subj', '/CN=Test server']
      const addExtensions = extensions.flatMap((extension) => ['-addext', extension])
      const output = ['-keyout', 'key', '-out', 'cert']
      openssl(folder, ['req', '-x509', ...newKey, ...signedByAuthority, ...addExtensions, ...output])
      return readPair(folder)
    })
  return { ca: authority.cert, issue }
}

function inFolder<T>(run: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-certificates-'))
  try {
    return run(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function openssl(folder: string, args: readonly string[]): void {
  execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
}

function readPair(folder: string): Certificate {
  const read = (name: string) => readFileSync(join(folder, name), 'utf8')
  return { key: read('key'), cert: read('cert') }
}

function writePair(folder: string, { key, cert }: Certificate): void {
  writeFileSync(join(folder, 'ca-key'), key, { mode: 0o600 })
  writeFileSync(join(folder, 'ca-cert'), cert)
}
