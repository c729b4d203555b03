// The ids by which clients name a network that an application service reaches: unique on this server, whoever else calls a network
// of theirs the same. Specification: client-server API, "Third-party Networks" (`instance_id`), "Published room directory".

export interface NetworkInstance {
  /** The id of the application service. */
  readonly appservice: string
  readonly protocol: string
  /** As the application service calls it. */
  readonly network: string
}

/** The id of a network. */
export function instanceId({ appservice, protocol, network }: NetworkInstance): string {
  return [appservice, protocol, network].map((part) => encodeURIComponent(part.toWellFormed())).join('|')
}

/** The network that an id is of; undefined for what is no such id. */
export function parseInstanceId(text: string): NetworkInstance | undefined {
  try {
    const [appservice, protocol, network, ...rest] = text.split('|').map(decodeURIComponent)
    if (appservice === undefined || protocol === undefined || network === undefined) return undefined
    return rest.length === 0 ? { appservice, protocol, network } : undefined
  } catch {
    return undefined
  }
}
