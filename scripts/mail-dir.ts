// Mail that goes nowhere: the launcher writes what the Worker sends into a folder, a file a mail, for development.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { NodeHandler } from './federation-transport.ts'

/** Takes the Worker's mails as a Miniflare service binding. The names of the files are in the order of the mails. */
export function mailFolder(folder: string): NodeHandler {
  let count = 0
  return async (request, response) => {
    const chunks: Buffer[] = await request.toArray()
    const mail: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'))
    count += 1
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const name = `${Date.now()}-${String(count).padStart(4, '0')}.json`
    await writeFile(join(folder, name), `${JSON.stringify(mail, undefined, 2)}\n`, { mode: 0o600 })
    response.writeHead(200).end()
  }
}
