import { formatIp, formatIpPrefix, parseIp, parseIpPrefix } from '../../wire/ip-prefix.js'
import { parseMac } from '../../wire/mac.js'
import { checkDisjoint } from './check-addressing.js'
import { checkNetwork } from './check-network.js'
import { checkMac } from './check-link.js'
import { JsonObject, textOf } from './json-object.js'
import {
  XMIT_HASH_POLICIES,
  type BondLink,
  type Ipv4Addressing,
  type Ipv6Addressing,
  type LinkBase,
  type NetworkLink,
  type NetworkModel,
  type NicLink,
  type Route,
  type VlanLink,
} from './network.js'
import { refused } from './refusal.js'

/** A NIC of the machine that the document is for. */
export interface MachineNic {
  readonly mac: string
  /** A storage NIC is firmware's and the target's: no network document ever names it. */
  readonly role: 'tenant' | 'storage'
  /** Whether the root disk is reached over it. */
  readonly isRoot: boolean
}

/**
 * Reads the network document that an operator wrote (docs/network.md) and checks it against the machine.
 * MACs and addresses come out in their canonical spelling.
 * @param document any JSON value
 * @throws DaemonError INVALID_INPUT whose message starts with the field, e.g. `network.links[1].members[0]`
 */
export function parseNetwork(document: unknown, nics: readonly MachineNic[]): NetworkModel {
  const object = new JsonObject(document, '')
  const network = {
    links: object.list('links', (item, field) => readLink(new JsonObject(item, field), nics)),
    dns: object.list('dns', (item, field) => canonicalIp(textOf(item, field))),
    search: object.list('search', textOf),
  }
  object.end()
  checkNetwork(network)
  checkDisjoint(network.links)
  return network
}

function readLink(object: JsonObject, nics: readonly MachineNic[]): NetworkLink {
  const kind = object.neededChoice('kind', ['nic', 'bond', 'vlan'])
  const mtu = object.number('mtu')
  const base: LinkBase = {
    id: object.neededText('id'),
    ...(mtu !== undefined && { mtu }),
    ipv4: readIpv4(object.child('ipv4')),
    ipv6: readIpv6(object.child('ipv6')),
    routes: object.list('routes', (item, field) => readRoute(new JsonObject(item, field))),
  }
  const link = kind === 'nic' ? readNic(object, base, nics) : readVirtual(kind, object, base)
  object.end()
  return link
}

function readNic(object: JsonObject, base: LinkBase, nics: readonly MachineNic[]): NicLink {
  const mac = canonicalMac(object.neededText('mac'))
  const field = object.path('mac')
  checkMac(mac, field)
  const nic = nics.find((known) => parseMac(known.mac) === mac)
  if (nic === undefined) throw refused(field, `the machine has no NIC ${mac}`)
  if (nic.role === 'storage') throw refused(field, `${mac} is a storage NIC, which no guest may configure`)
  return { kind: 'nic', ...base, mac, isRoot: nic.isRoot }
}

function readVirtual(kind: 'bond' | 'vlan', object: JsonObject, base: LinkBase): BondLink | VlanLink {
  const text = object.text('mac')
  const mac = text === undefined ? {} : { mac: canonicalMac(text) }
  if (kind === 'bond') return readBond(object, { ...base, ...mac })
  const parent = object.neededText('parent')
  return { kind, ...base, ...mac, parent, vlanId: object.neededNumber('vlan_id') }
}

function readBond(object: JsonObject, base: LinkBase & Pick<BondLink, 'mac'>): BondLink {
  const members = object.list('members', textOf)
  const mode = object.neededChoice('mode', ['802.3ad', 'active-backup'])
  const miimonMs = object.number('miimon_ms')
  const xmitHashPolicy = object.choice('xmit_hash_policy', XMIT_HASH_POLICIES)
  const primary = object.text('primary')
  return {
    kind: 'bond',
    ...base,
    members,
    mode,
    ...(miimonMs !== undefined && { miimonMs }),
    ...(xmitHashPolicy !== undefined && { xmitHashPolicy }),
    ...(primary !== undefined && { primary }),
  }
}

function readIpv4(object: JsonObject | undefined): Ipv4Addressing {
  if (object === undefined) return { kind: 'none' }
  const kind = object.neededChoice('kind', ['none', 'dhcp', 'static'])
  const addressing = kind === 'static' ? { kind, ...readStatic(object) } : { kind }
  object.end()
  return addressing
}

function readIpv6(object: JsonObject | undefined): Ipv6Addressing {
  if (object === undefined) return { kind: 'none' }
  const kind = object.neededChoice('kind', ['none', 'slaac', 'dhcp', 'static'])
  const addressing = kind === 'static' ? { kind, ...readStatic(object) } : { kind }
  object.end()
  return addressing
}

function readStatic(object: JsonObject): { address: string; prefixLength: number; gateway?: string } {
  const address = canonicalIp(object.neededText('address'))
  const prefixLength = object.neededNumber('prefix_length')
  const gateway = object.text('gateway')
  return { address, prefixLength, ...(gateway !== undefined && { gateway: canonicalIp(gateway) }) }
}

function readRoute(object: JsonObject): Route {
  const destination = object.neededText('destination')
  const prefix = parseIpPrefix(destination)
  const via = canonicalIp(object.neededText('via'))
  const metric = object.number('metric')
  object.end()
  return {
    destination: prefix === undefined ? destination : formatIpPrefix(prefix),
    via,
    ...(metric !== undefined && { metric }),
  }
}

/** What is no address stays as it is: checkNetwork says so with the rule that it breaks. */
function canonicalIp(text: string): string {
  const ip = parseIp(text)
  return ip === undefined ? text : formatIp(ip)
}

function canonicalMac(text: string): string {
  return parseMac(text) ?? text
}
