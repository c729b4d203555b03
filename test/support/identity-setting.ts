// A server of ours beside an identity server, each of which the other reaches over TLS: the setting of tests about addresses of users.

import { type Authority, makeAuthority } from './certificates.ts'
import { type FakeIdentityServer, startFakeIdentityServer } from './fake-identity-server.ts'
import { type FederatedServer, startFederatedServer } from './federated-server.ts'

export type IdentitySetting = Awaited<ReturnType<typeof startIdentitySetting>>

/** Starts both. `name` is the DNS name of ours. */
export async function startIdentitySetting(name = 'hearth.test') {
  const authority: Authority = makeAuthority()
  const started: { stop(): Promise<void> }[] = []
  const stopped = async <T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> => {
    const one = await starting
    started.push(one)
    return one
  }
  const anotherServer = (dnsName: string): Promise<FederatedServer> =>
    stopped(startFederatedServer(authority, dnsName))
  const anotherIdentityServer = (dnsName?: string): Promise<FakeIdentityServer> =>
    stopped(startFakeIdentityServer(authority, dnsName))
  const [server, identity] = await Promise.all([anotherServer(name), anotherIdentityServer()])
  return {
    server,
    identity,
    anotherServer,
    anotherIdentityServer,
    /** Stops whatever was started here. */
    stop: async () => void (await Promise.all(started.map((one) => one.stop()))),
  }
}
