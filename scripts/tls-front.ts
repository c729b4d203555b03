// TLS before the server: what comes in on the TLS port is decrypted and handed to workerd's port as it is.

import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { createServer, type Server } from 'node:tls'
import { StartError } from './options.ts'

export interface TlsFiles {
  /** Paths of files in PEM. */
  readonly key: string
  readonly cert: string
}

const handshakeMs = 10_000

/** Reads key and certificate. Throws a StartError that names the file. */
export function readTlsFiles(files: TlsFiles): { key: string; cert: string } {
  return { key: readPem('--tls-key', files.key), cert: readPem('--tls-cert', files.cert) }
}

/** A file in PEM. Throws a StartError that names it. */
export function readPem(option: string, path: string): string {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    throw new StartError(`${option}: cannot read ${path}: ${code}`)
  }
  if (!text.includes('-----BEGIN ')) throw new StartError(`${option}: ${path} is not in PEM`)
  return text
}

/**
 * A TLS server before another one, not listening yet. `url` is the base URL of that one, asked for with each connection.
 * Throws a StartError when key and certificate do not fit.
 */
export function tlsFront(pem: { key: string; cert: string }, url: () => string): Server {
  return makeServer(pem).on('secureConnection', (client) => {
    const { hostname, port } = new URL(url())
    const plain = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) })
    // Not `pipeline`: when the server answers before it has read all and closes, what it said must still arrive.
    client.pipe(plain)
    plain.pipe(client)
    client.on('error', () => plain.destroy()).on('close', () => plain.destroy())
    plain.on('error', () => client.end()).on('close', () => client.end())
  })
}

function makeServer({ key, cert }: { key: string; cert: string }): Server {
  try {
    return createServer({ key, cert, handshakeTimeout: handshakeMs, ALPNProtocols: ['http/1.1'] })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new StartError(`--tls-key and --tls-cert cannot be used together: ${reason}`)
  }
}
