/** What has to be known of a server to know that it asks. */
export interface KnownServer {
  /** Of every NIC of its machine, as `parseMac` gives them. */
  readonly macs: readonly string[]
  /** Addresses (dotted) that it has without a lease of ours: static ones, and what a foreign DHCP server gives it. */
  readonly ownAddresses: readonly string[]
}

/** What the network says of an address that asks. */
export interface CallerFacts {
  /** Dotted. */
  readonly address: string
  /** How its packets come: over a segment of ours, through a relay's router, or from no subnet of ours. */
  readonly way: 'segment' | 'router' | 'none'
  /** The MAC to which the kernel sends what is for this address. */
  readonly neighbourMac: string | undefined
  readonly lease: { readonly mac: string; readonly expiresMs: number } | undefined
  /** The NIC whose fixed address it is, of the registry. */
  readonly fixedMac: string | undefined
}

/** Who asks, or why nobody is known: one sentence for the operator, never for who asked. */
export type Caller<S> =
  | { readonly server: S; readonly mac: string }
  | { readonly server: undefined; readonly mac: string | undefined; readonly refusal: string }

/**
 * Finds the one server that an address speaks for. On a segment of ours three things must agree: the lease (or the
 * address that the server has without one), the MAC to which the kernel would send the answer, and a NIC of the
 * server's machine. Behind a router nobody's MAC is seen: there the lease stands alone.
 */
export function decideCaller<S extends KnownServer>(
  facts: CallerFacts,
  serverOf: (mac: string) => S | undefined,
  nowMs: number,
): Caller<S> {
  if (facts.way === 'none') return refused('it is in no subnet that is served')
  const lease = liveLease(facts, nowMs)
  const mac = macOf(facts, lease)
  if (mac === undefined) {
    return refused(facts.way === 'segment' ? 'no neighbour of the kernel has this address' : noLease(facts))
  }
  const server = serverOf(mac)
  if (server === undefined) return refused('no server has this NIC', mac)
  const refusal = unleased(facts, lease, mac, server)
  return refusal === undefined ? { server, mac } : refused(refusal, mac)
}

function macOf(
  { way, neighbourMac, fixedMac }: CallerFacts,
  lease: CallerFacts['lease'],
): string | undefined {
  return way === 'segment' ? neighbourMac : (lease?.mac ?? fixedMac)
}

/** Why the address is not this server's, if so. */
function unleased(
  facts: CallerFacts,
  lease: CallerFacts['lease'],
  mac: string,
  server: KnownServer,
): string | undefined {
  const isOwn = server.ownAddresses.includes(facts.address)
  if (lease === undefined) return isOwn ? undefined : noLease(facts)
  // A bond answers from any of its NICs; what its firmware leased by the first one stays for a while.
  const isSame = lease.mac === mac || (isOwn && server.macs.includes(lease.mac))
  return isSame ? undefined : `the address is leased to ${lease.mac}`
}

function liveLease({ lease }: CallerFacts, nowMs: number): CallerFacts['lease'] {
  return lease !== undefined && lease.expiresMs > nowMs ? lease : undefined
}

function noLease({ lease }: CallerFacts): string {
  return lease === undefined ? 'no lease is for this address' : 'its lease is over'
}

function refused(refusal: string, mac?: string): Caller<never> {
  return { server: undefined, mac, refusal }
}
