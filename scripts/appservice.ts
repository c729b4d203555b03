// `npm run appservice`: registrations of application services checked, handed to a deployed Worker, and made.

import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { projectRoot } from './bundle.ts'
import { newRegistration, readRegistrations, type RegistrationFile } from './appservices.ts'
import { StartError } from './options.ts'
import { readWranglerConfig } from './wrangler-config.ts'

// What Workers take as a secret, in bytes.
const longestSecret = 5 * 1024

const help = `npm run appservice -- [options] FILE [FILE …]

Checks registrations of application services, in YAML or JSON; a folder stands for those in it.

  --put
      hand each to the deployed Worker as a secret, by wrangler
  --new ID --url URL
      print a new registration instead
  --server-name NAME
      of the server they are for (SERVER_NAME in wrangler.toml)`

function main(): void {
  const { values, positionals } = readArguments()
  const serverName = values['server-name'] ?? readWranglerConfig().vars['SERVER_NAME'] ?? ''
  if (values.new !== undefined) {
    if (!/^https?:$/.test(URL.parse(values.url ?? '')?.protocol ?? '')) {
      throw new StartError('--new needs --url, an http or https URL')
    }
    console.log(newRegistration(values.new, values.url ?? '', serverName).trimEnd())
  } else if (positionals.length === 0 || values.help === true) {
    console.log(help)
  } else {
    const secrets = named(readRegistrations(positionals, serverName))
    for (const [name, { path, id, json }] of secrets) {
      console.log(`${path}: ${id}, ${Buffer.byteLength(json)} bytes, for the secret ${name}`)
      if (values.put === true) put(name, json)
    }
    if (values.put !== true) console.log('With --put, each becomes a secret of the deployed Worker.')
  }
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        put: { type: 'boolean' },
        new: { type: 'string' },
        url: { type: 'string' },
        'server-name': { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    throw new StartError(error instanceof Error ? error.message : String(error))
  }
}

/** Each registration with the name of its secret, which is made of its id: putting it again replaces it. */
function named(files: readonly RegistrationFile[]): Map<string, RegistrationFile> {
  const secrets = new Map<string, RegistrationFile>()
  for (const file of files) {
    const name = `APPSERVICE_${file.id.toUpperCase().replaceAll(/[^A-Z0-9]+/g, '_')}`
    const other = secrets.get(name)
    if (other) throw new StartError(`${file.path}: id leads to the same secret as that of ${other.path}`)
    if (Buffer.byteLength(file.json) > longestSecret) {
      throw new StartError(`${file.path}: is longer than a secret may be, ${longestSecret} bytes`)
    }
    secrets.set(name, file)
  }
  return secrets
}

function put(name: string, json: string): void {
  const { status } = spawnSync('npx', ['wrangler', 'secret', 'put', name], {
    cwd: projectRoot,
    input: json,
    stdio: ['pipe', 'inherit', 'inherit'],
  })
  if (status !== 0) throw new StartError(`wrangler has not taken ${name}`)
}

try {
  main()
} catch (error) {
  if (!(error instanceof StartError)) throw error
  console.error(`appservice: ${error.message}`)
  process.exit(1)
}
