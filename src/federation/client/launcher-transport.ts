// Requests to other servers by the process of the launcher, which connects as the specification has it: see
// scripts/federation-transport.ts.

import { type Transport, unreachable } from './transport.ts'

/** The transport of a server on one's own machine. */
export function launcherTransport(launcher: Fetcher): Transport {
  return async ({ destination, method, uri, headers, body, signal }) => {
    // The target goes in headers: a URL would be parsed on the way, and could come out escaped in another way than it
    // was signed.
    const response = await launcher.fetch('http://federation-transport/', {
      method: 'POST',
      headers: {
        ...headers,
        'X-Hearth-Destination': destination,
        'X-Hearth-Method': method,
        'X-Hearth-Uri': uri,
      },
      body: body ?? '',
      redirect: 'manual',
      signal,
    })
    const status = Number(response.headers.get('X-Hearth-Status'))
    // Without that it is the launcher who answers, not the server.
    if (status < 200 || status > 599) throw unreachable(destination, await response.text())
    const bodiless = status === 204 || status === 205 || status === 304
    return new Response(bodiless ? null : response.body, { status, headers: response.headers })
  }
}
