import type { GetDocument } from './openstack-reader.js'

// What the network plug-in of the cloud's own images makes of a config drive, written anew from what is known of it
// (its documentation and behaviour, docs/windows.md): no line of it is here.

/** The versions it knows; it takes the newest that is there, else `latest`. */
const VERSIONS = ['2015-10-15', '2013-10-17', '2013-04-04', '2012-08-10', 'latest']
const TEAM_MODES: Readonly<Record<string, string>> = { '1': 'SwitchIndependent', '4': 'LACP' }

interface Link {
  readonly id: string
  readonly type: string
  readonly ethernet_mac_address?: string
  readonly bond_mode?: unknown
  readonly bond_links?: readonly string[]
  readonly vlan_link?: string
  readonly vlan_id?: number
}

/**
 * The teams and VLANs that it makes on Windows.
 * @param adapters the machine's NICs, by MAC
 * @throws Error where it gives up
 */
export function teamsOf(get: GetDocument, adapters: ReadonlySet<string>): readonly string[] {
  const version = VERSIONS.find((name) => get(`openstack/${name}/meta_data.json`) !== undefined) ?? 'none'
  const { uuid } = read(get, `openstack/${version}/meta_data.json`) as { uuid?: unknown }
  if (typeof uuid !== 'string') throw new Error('no uuid')
  const document = read(get, `openstack/${version}/network_data.json`) as {
    links: Link[]
    networks: unknown[]
  }
  if (document.links.length === 0 || document.networks.length === 0)
    throw new Error('no links or no networks')
  const of = (type: string): Link[] => document.links.filter((link) => link.type === type)
  for (const { ethernet_mac_address: mac = '' } of of('phy')) {
    if (!adapters.has(mac.toLowerCase())) throw new Error(`no adapter ${mac}`)
  }
  return [
    ...of('bond').map((link) => team(link, of('phy'))),
    ...of('vlan').map((link) => vlan(link, of('bond'))),
  ]
}

function team({ id, bond_mode: mode, bond_links: members = [] }: Link, nics: readonly Link[]): string {
  const teamMode = typeof mode === 'string' ? TEAM_MODES[mode] : undefined
  if (teamMode === undefined) throw new Error(`bond mode ${JSON.stringify(mode)} is neither "1" nor "4"`)
  if (!members.every((member) => nics.some((nic) => nic.id === member)))
    throw new Error(`${id}: no such member`)
  return `${id}: ${teamMode}`
}

function vlan(
  { id, ethernet_mac_address: mac, vlan_link: on, vlan_id: tag }: Link,
  bonds: readonly Link[],
): string {
  if (mac === undefined) throw new Error(`${id}: no ethernet_mac_address`)
  if (!bonds.some((bond) => bond.id === on)) throw new Error(`${id}: VLANs stand on bonds only`)
  return `${id}: VLAN ${String(tag)} of ${on ?? ''}`
}

function read(get: GetDocument, path: string): unknown {
  const bytes = get(path)
  if (bytes === undefined) throw new Error(`no ${path}`)
  return JSON.parse(bytes.toString())
}
