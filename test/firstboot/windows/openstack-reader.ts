import { createPublicKey, constants, publicEncrypt } from 'node:crypto'
import { gunzipSync } from 'node:zlib'

// How Cloudbase-Init's OpenStack services read what they found, over HTTP and from a config drive alike, written anew
// from its documentation ("Services", "Userdata") and from docs/windows.md.

/** Gives a document, or undefined where there is none. */
export type GetDocument = (path: string) => Buffer | undefined

/** Its network plug-in's work, in order; each string is one step. */
export type NetworkSteps = readonly string[]

const BOND_MODES = [
  '802.3ad',
  'balance-rr',
  'active-backup',
  'balance-xor',
  'broadcast',
  'balance-tlb',
  'balance-alb',
]
const HASHES = ['layer2', 'layer2+3', 'layer3+4', 'encap2+3', 'encap3+4']
const NETBIOS_MAX = 15

/** The computer name that is set: one label, cut to fifteen, with no hyphen at its end. */
export function computerName(get: GetDocument): string {
  const [label = ''] = String(metaData(get)['hostname']).split('.')
  return label.slice(0, NETBIOS_MAX).replace(/-$/, '0')
}

/** Identity: another one makes every plug-in run again. */
export function instanceId(get: GetDocument): unknown {
  return metaData(get)['uuid']
}

/** Every key, of both members, once; in no order. */
export function publicKeys(get: GetDocument): Set<string> {
  const { public_keys: byName = {}, keys = [] } = metaData(get) as {
    public_keys?: Record<string, string>
    keys?: { type: string; data: string }[]
  }
  const listed = keys.filter(({ type }) => type === 'ssh').map(({ data }) => data)
  return new Set([...Object.values(byName), ...listed].map((key) => key.trim()))
}

/** The password in clear that the documents hold; there should be none. */
export function injectedPassword(get: GetDocument): unknown {
  const all = metaData(get)
  return (all['meta'] as Record<string, unknown> | undefined)?.['admin_pass'] ?? all['admin_pass']
}

/** Who is handed the user data. */
export function userDataExecutor(get: GetDocument): string {
  const stored = get('openstack/latest/user_data')
  if (stored === undefined || stored.length === 0) return 'nobody'
  const text = (stored[0] === 0x1f && stored[1] === 0x8b ? gunzipSync(stored) : stored).toString('latin1')
  const executors: readonly (readonly [RegExp, string])[] = [
    [/^Content-Type: multipart/, 'MIME'],
    [/^#cloud-config/, 'cloud-config'],
    [/^rem\s+cmd\s/, 'cmd'],
    [/^#!\s*\/usr\/bin\/env\s+python\s/, 'python'],
    [/^#!/, 'bash'],
    [/^#(?:ps1|ps1_sysnative)\s/, 'PowerShell'],
    [/^#ps1_x86\s/, 'PowerShell x86'],
    [/<\/?(?:script|powershell)>/, 'EC2'],
  ]
  return executors.find(([head]) => head.test(text))?.[1] ?? 'nobody, with a warning'
}

interface Link {
  readonly id: string
  readonly type: string
  readonly ethernet_mac_address?: string
  readonly bond_links?: readonly string[]
  readonly bond_mode?: string
  readonly bond_xmit_hash_policy?: string
  readonly vlan_link?: string
  readonly vlan_id?: number
}

interface Network {
  readonly link: string
  readonly type: string
  readonly ip_address?: string
  readonly netmask?: string
  readonly routes?: readonly { network: string; netmask: string; gateway: string }[]
  readonly services?: readonly Service[]
}

interface Service {
  readonly type: string
  readonly address: string
}

/**
 * What its network plug-in does: adapters are renamed to the ids of their links, bonds become teams, VLANs their
 * members, and static addresses are set.
 * @param adapters the machine's NICs, by MAC
 * @throws Error where the plug-in gives up, and with it all of the network
 */
export function networkSteps(get: GetDocument, adapters: ReadonlySet<string>): NetworkSteps {
  const document = JSON.parse(text(get('openstack/latest/network_data.json'))) as {
    links: readonly Link[]
    networks: readonly Network[]
    services: readonly Service[]
  }
  const { links, networks, services } = document
  const bonds = links.filter(({ type }) => type === 'bond')
  for (const { bond_mode: mode = 'none', bond_xmit_hash_policy: hash } of bonds) {
    if (!BOND_MODES.includes(mode)) throw new Error(`Unsupported bond mode: ${mode}`)
    if (hash !== undefined && !HASHES.includes(hash)) throw new Error(`Unsupported bond hash policy: ${hash}`)
  }
  const vlans = links.filter(({ type }) => type === 'vlan')
  const nics = links.filter((link) => !bonds.includes(link) && !vlans.includes(link))
  return [
    ...nics.map((link) => renamed(link, adapters)),
    ...bonds.map((link) => team(link, nics)),
    ...vlans.map((link) => teamMember(link, bonds)),
    ...networks
      .filter(({ type }) => type === 'ipv4' || type === 'ipv6')
      .map((network) => address(network, services)),
  ]
}

function renamed({ id, ethernet_mac_address: mac = '' }: Link, adapters: ReadonlySet<string>): string {
  if (!adapters.has(mac.toLowerCase())) throw new Error(`no adapter ${mac}`)
  return `${mac.toLowerCase()} is ${id}`
}

function team({ id, bond_mode: mode, bond_links: members = [] }: Link, nics: readonly Link[]): string {
  for (const member of members) {
    if (!nics.some((nic) => nic.id === member)) throw new Error(`no adapter ${member} for team ${id}`)
  }
  return `team ${id} of ${members.join(' and ')}, ${mode ?? ''}`
}

function teamMember({ id, vlan_link: bond = '', vlan_id: vlan }: Link, bonds: readonly Link[]): string {
  if (!bonds.some((one) => one.id === bond)) throw new Error(`no team ${bond} for VLAN ${id}`)
  return `${id} is VLAN ${String(vlan)} of team ${bond}`
}

function address(network: Network, services: readonly Service[]): string {
  const { link, ip_address: ip = '', netmask = '', routes = [] } = network
  const isDefault = ({ netmask: mask }: { netmask: string }): boolean => /^(?:0\.0\.0\.0|::|0)$/.test(mask)
  const own = resolversOf(network.services ?? [])
  const resolvers =
    own.length > 0 ? own : resolversOf(services).filter((one) => one.includes(':') === ip.includes(':'))
  const gateway = routes.find(isDefault)?.gateway ?? 'none'
  return `${link} has ${ip} ${netmask}, gateway ${gateway}, resolvers ${resolvers.join(' ')}`
}

function resolversOf(services: readonly Service[]): string[] {
  return services.filter(({ type }) => type === 'dns').map(({ address: resolver }) => resolver)
}

/** A way to ask the metadata service: the answer's code and body. */
export type Ask = (method: 'GET' | 'POST', path: string, body?: string) => { status: number; body: Buffer }

/**
 * The password's way: only over HTTP, only once, sealed by one of the keys.
 * @returns whether it was posted
 */
export function postPassword(ask: Ask, password: string): boolean {
  const get: GetDocument = (path) => {
    const { status, body } = ask('GET', path)
    return status === 200 ? body : undefined
  }
  const path = 'openstack/2013-04-04/password'
  if (get('openstack/2013-04-04/meta_data.json') === undefined) return false
  const stored = get(path)
  if (stored === undefined) throw new Error('the plug-in fails: no password page')
  if (stored.length > 0) return false
  const [key] = publicKeys(get)
  if (key === undefined) return false
  const sealed = seal(key, password).toString('base64')
  const { status } = ask('POST', path, sealed)
  if (status === 409) return false
  if (status >= 300) throw new Error(`the plug-in fails: ${String(status)}`)
  return true
}

/** RSA with PKCS #1 v1.5 (RFC 8017 §7.2) by the key in an OpenSSH line (RFC 4253 §6.6). */
function seal(line: string, password: string): Buffer {
  const [kind, base64 = ''] = line.split(' ')
  if (kind !== 'ssh-rsa') throw new Error('Invalid SSH key')
  const blob = Buffer.from(base64, 'base64')
  const fields: Buffer[] = []
  for (let at = 0; at < blob.length;) {
    const length = blob.readUInt32BE(at)
    fields.push(blob.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  const [type, exponent, modulus] = fields
  if (type?.toString() !== 'ssh-rsa' || exponent === undefined || modulus === undefined)
    throw new Error('Invalid SSH key')
  const jwk = { kty: 'RSA', e: exponent.toString('base64url'), n: modulus.toString('base64url') }
  const key = createPublicKey({ key: jwk, format: 'jwk' })
  return publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, Buffer.from(password))
}

function metaData(get: GetDocument): Record<string, unknown> {
  return JSON.parse(text(get('openstack/latest/meta_data.json'))) as Record<string, unknown>
}

function text(bytes: Buffer | undefined): string {
  if (bytes === undefined) throw new Error('no such document')
  return bytes.toString()
}
