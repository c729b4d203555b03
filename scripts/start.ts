// The launcher behind `npm start`: the server on one's own machine, as one workerd process with its data in a folder.

import { once } from 'node:events'
import { createServer } from 'node:net'
import { resolve } from 'node:path'
import { stop as endBundler } from 'esbuild'
import { readRegistrations, registrationVars } from './appservices.ts'
import { bundle, type BundleModule, readBundle } from './bundle.ts'
import {
  firstUserToken,
  keepToken,
  rememberServerName,
  takeDataDir,
  type FirstUserToken,
} from './data-dir.ts'
import { helpText, readSettings, StartError } from './options.ts'
import { federationTransport } from './federation-transport.ts'
import { mailFolder } from './mail-dir.ts'
import { startRuntime } from './runtime.ts'
import { readPem, readTlsFiles, tlsFront } from './tls-front.ts'
import { readWranglerConfig } from './wrangler-config.ts'

async function main(): Promise<void> {
  const settings = readSettings(process.argv.slice(2), process.env)
  if (settings === 'help') {
    console.log(helpText())
    return
  }
  const { host, port, tls, allowPrivateNetworks } = settings
  const front = tls && tlsFront(readTlsFiles(tls), () => runtime.url)
  const extraCa = settings.extraCa === undefined ? [] : [readPem('--extra-ca', settings.extraCa)]
  const dataDir = resolve(settings.data)
  await takeDataDir(dataDir)
  await checkPort(host, port)
  if (tls) await checkPort(host, tls.port, '--tls-port')
  const serverName = rememberServerName(
    dataDir,
    settings.serverName,
    readWranglerConfig().vars.SERVER_NAME ?? '',
  )
  const appservices = readRegistrations(settings.appservices, serverName)
  const firstUser = firstUserToken(dataDir)

  const runtime = await startRuntime({
    modules: await bundled(),
    dataDir,
    host,
    port,
    federation: federationTransport({ extraCa, allowPrivateNetworks }),
    ...(settings.mailDir !== undefined && { mail: mailFolder(resolve(settings.mailDir)) }),
    vars: {
      ...settings.vars,
      ...registrationVars(appservices),
      SERVER_NAME: serverName,
      FIRST_USER_TOKEN: firstUser.token,
    },
  })
  if (front) await once(front.listen({ host, port: tls.port }), 'listening')
  const stop = () => void runtime.mf.dispose().then(() => process.exit(0))
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    // Miniflare's own listeners end the process as if the signal had killed it.
    process.removeAllListeners(signal).once(signal, stop)
  }

  if (firstUser.fresh) keepToken(firstUser)
  const lines = [
    `Hearth listens on ${runtime.url}`,
    `Server name: ${serverName} (user ids end in :${serverName})`,
    `Data: ${dataDir}`,
    howToRegister(settings.vars.REGISTRATION, firstUser),
    ...(tls ? [`Other servers: TLS on port ${tls.port}`] : []),
    ...(appservices.length > 0
      ? [`Application services: ${appservices.map(({ id }) => id).join(', ')}`]
      : []),
  ]
  console.log(lines.join('\n'))
}

function howToRegister(registration: string | undefined, { token, path, fresh }: FirstUserToken): string {
  if (registration === 'open') return 'Registration: open to anyone who can reach this server'
  if (registration === 'closed') return 'Registration: closed'
  const where = fresh ? `${token} (kept in ${path})` : `in ${path}`
  return `Registration: by token; the first user registers with the token ${where}`
}

// workerd would say it less clearly.
async function checkPort(host: string, port: number, option = '--port'): Promise<void> {
  const probe = createServer()
  try {
    await new Promise<void>((listening, failed) => {
      probe.once('error', failed).listen({ host, port, exclusive: true }, listening)
    })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'EADDRINUSE')
      throw new StartError(`port ${port} on ${host} is in use; choose another with ${option}`)
    throw new StartError(`cannot listen on ${host}, port ${port}: ${String(code)}`)
  }
  await new Promise((closed) => probe.close(closed))
}

// HEARTH_BUNDLE: a file made by scripts/bundle.ts, where many servers start in a row.
async function bundled(): Promise<BundleModule[]> {
  const { HEARTH_BUNDLE: path } = process.env
  if (path !== undefined) return await readBundle(path)
  const modules = await bundle()
  // The bundler's own process would stay alive with its memory as long as the server.
  await endBundler()
  return modules
}

try {
  await main()
} catch (error) {
  console.error(`hearth: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`)
  if (!(error instanceof StartError) && error instanceof Error && process.env.HEARTH_DEBUG)
    console.error(error)
  process.exit(1)
}
