import { parseIp } from '../../wire/ip-prefix.js'
import { checkAddressing } from './check-addressing.js'
import { checkLink } from './check-link.js'
import { checkTopology } from './check-topology.js'
import type { NetworkModel } from './network.js'
import { checkCount, refused, shown } from './refusal.js'

const MAX_LINKS = 64
const MAX_RESOLVERS = 8
// What resolvers of glibc before 2.26 read of resolv.conf.
const MAX_SEARCH = { domains: 6, characters: 256 }
const DOMAIN =
  /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/i

/**
 * Refuses a network that a guest could not come up with.
 * @throws DaemonError INVALID_INPUT whose message starts with the field as the network document spells it,
 * e.g. `network.links[0].mac`
 */
export function checkNetwork(network: NetworkModel): void {
  if (network.links.length === 0) throw refused('links', 'expected at least one link, got none')
  checkCount(network.links, 'links', MAX_LINKS)
  network.links.forEach((link, index) => checkLink(link, `links[${index}]`))
  checkTopology(network.links)
  checkAddressing(network.links)
  checkDns(network.dns)
  checkSearch(network.search)
}

function checkDns(dns: readonly string[]): void {
  checkCount(dns, 'dns', MAX_RESOLVERS)
  dns.forEach((text, index) => {
    const field = `dns[${index}]`
    const ip = parseIp(text)
    if (ip === undefined) throw refused(field, `expected an IPv4 or IPv6 address, got ${shown(text)}`)
    if (dns.indexOf(text) !== index) throw refused(field, `${text} is named twice`)
    // fe80::/10 means nothing without the link it is on.
    const isLinkLocal = ip.family === 6 && ip.value >> 118n === 0x3fan
    if (isLinkLocal || !isHost(ip.family, ip.value)) throw refused(field, `${text} is no resolver's address`)
  })
}

/** Neither unspecified nor multicast; a loopback one is a resolver inside the guest. */
function isHost(family: 4 | 6, value: bigint): boolean {
  if (family === 4) return value >> 24n !== 0n && value >> 24n < 224n
  return value !== 0n && value >> 120n !== 0xffn
}

function checkSearch(search: readonly string[]): void {
  checkCount(search, 'search', MAX_SEARCH.domains)
  search.forEach((domain, index) => {
    const field = `search[${index}]`
    if (!DOMAIN.test(domain) || parseIp(domain) !== undefined) {
      throw refused(field, `expected a domain name, got ${shown(domain)}`)
    }
    if (search.findIndex((other) => other.toLowerCase() === domain.toLowerCase()) !== index) {
      throw refused(field, `${domain} is named twice`)
    }
  })
  const length = search.join(' ').length
  if (length > MAX_SEARCH.characters) {
    throw refused('search', `expected at most ${MAX_SEARCH.characters} characters in all, got ${length}`)
  }
}
