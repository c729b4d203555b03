// A Synapse in a process of its own, with its data in a folder, that can be stopped and started again.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Authority } from '../../support/certificates.ts'
import { httpClient } from '../../support/server.ts'
import { quietPort } from './quiet-port.ts'
import { synapseConfig, synapseLogConfig } from './synapse-config.ts'

const address = '127.0.0.1'
const patience = 150_000

/** Starts one on 127.0.0.1. Its server name is that address with a port, an IP literal. */
export async function startSynapse(authority: Authority, folder: string, ca: string) {
  const { SYNAPSE_PYTHON: python } = process.env
  if (python === undefined) throw new Error('no SYNAPSE_PYTHON: start these tests with npm run test:synapse')
  const [clientPort, tlsPort] = [await quietPort(), await quietPort()]
  const file = (name: string) => join(folder, name)
  const { key, cert } = authority.issue(address)
  mkdirSync(folder, { recursive: true })
  writeFileSync(file('tls-key.pem'), key)
  writeFileSync(file('tls-cert.pem'), cert)
  writeFileSync(file('log.yaml'), synapseLogConfig())
  const serverName = `${address}:${tlsPort}`
  const config = synapseConfig({
    serverName,
    folder,
    clients: { address, port: clientPort },
    federation: { address, port: tlsPort },
    tls: { key: file('tls-key.pem'), cert: file('tls-cert.pem'), ca },
    defaultRoomVersion: '11',
  })
  writeFileSync(file('homeserver.yaml'), config)

  const url = `http://${address}:${clientPort}`
  const spawned = () => run(python, file('homeserver.yaml'), file('synapse.log'))
  let child = spawned()
  await ready(url, child, file('synapse.log'))
  return {
    ...httpClient(url),
    serverName,
    url,
    /** Lets it finish what it is at. */
    stop: () => end(child, 'SIGTERM'),
    /** Starts it again on the same data. */
    async restart() {
      child = spawned()
      await ready(url, child, file('synapse.log'))
    },
    remove: () => end(child, 'SIGKILL'),
  }
}

function run(python: string, config: string, logFile: string): ChildProcess {
  const log = openSync(logFile, 'a')
  const child = spawn(python, ['-m', 'synapse.app.homeserver', '-c', config], { stdio: ['ignore', log, log] })
  closeSync(log)
  return child
}

async function ready(url: string, child: ChildProcess, logFile: string): Promise<void> {
  const deadline = Date.now() + patience
  for (;;) {
    const answers = await fetch(`${url}/_matrix/client/versions`).then(
      ({ ok }) => ok,
      () => false,
    )
    if (answers) return
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill('SIGKILL')
      throw new Error(`Synapse did not start:\n${readFileSync(logFile, 'utf8').slice(-5_000)}`)
    }
    await sleep(200)
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill(signal)
  await once(child, 'exit')
}
