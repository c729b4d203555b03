// Writes the configuration of a Synapse that is a homeserver of a Complement run, see scripts/complement-start-synapse.

import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { synapseConfig, synapseLogConfig } from './synapse-config.ts'

const { SERVER_NAME: serverName } = process.env
if (serverName === undefined) throw new Error('no SERVER_NAME')

const folder = '/data'
const registrations = '/complement/appservice'

const config = synapseConfig({
  serverName,
  folder,
  clients: { address: '0.0.0.0', port: 8008 },
  federation: { address: '0.0.0.0', port: 8448 },
  tls: {
    key: join(folder, 'tls/key.pem'),
    cert: join(folder, 'tls/certificate.pem'),
    ca: '/complement/ca/ca.crt',
  },
  defaultRoomVersion: '11',
  unauthenticatedMedia: true,
  applicationServices: existsSync(registrations)
    ? readdirSync(registrations).map((name) => join(registrations, name))
    : [],
})
writeFileSync(join(folder, 'homeserver.yaml'), config)
writeFileSync(join(folder, 'log.yaml'), synapseLogConfig())
