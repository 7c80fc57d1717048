import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nameOf } from '../../src/firstboot/network/links.js'
import type { NetworkLink, NetworkModel } from '../../src/firstboot/network/network.js'
import { NETWORKS, sampleNetworks, type SampleNetwork } from '../firstboot/network/sample-networks.js'
import { python } from './cloud-init-oracle.js'

/** What cloud-init can write a network for, and a distribution whose paths it takes. */
export const RENDERERS = {
  netplan: 'debian',
  eni: 'debian',
  networkd: 'photon',
  sysconfig: 'rhel',
  'network-manager': 'rhel',
} as const

/** Our documents, and the kind that net-convert knows each by. */
export const DOCUMENTS = {
  'network-config.yaml': 'yaml',
  'network-config-v1.yaml': 'yaml',
  'network_data.json': 'network_data.json',
} as const

/** A renderer of cloud-init. */
export type Renderer = keyof typeof RENDERERS

/** A document of ours. */
export type Document = keyof typeof DOCUMENTS

/** A golden network as one renderer wrote it from one document. */
export interface Converted {
  readonly network: SampleNetwork
  readonly document: Document
  readonly renderer: Renderer
  /** The root of what was written. */
  readonly folder: string
}

/** What became of all of them. */
export interface Conversions {
  /** cloud-init's own, `22.4.2-1+deb12u4`. */
  readonly version: string
  /** Reasons by folder. */
  readonly failed: Readonly<Record<string, string>>
  readonly all: readonly Converted[]
}

/** Has cloud-init convert every golden network into every form, below `folder`. */
export async function convertNetworks(folder: string): Promise<Conversions> {
  const all = sampleNetworks().flatMap((network) =>
    keysOf(DOCUMENTS).flatMap((document) =>
      keysOf(RENDERERS).map((renderer) => {
        const place = join(folder, network.name, document, renderer)
        return { network, document, renderer, folder: place }
      }),
    ),
  )
  const jobs = join(folder, 'jobs.json')
  writeFileSync(
    jobs,
    JSON.stringify(
      all.map((one) => ({ folder: one.folder, arguments: argumentsOf(one), names: namesOf(one) })),
    ),
  )
  const output = await python([join(import.meta.dirname, 'net-convert.py'), jobs])
  const report = JSON.parse(/^\{"version".*$/m.exec(output)?.[0] ?? '') as Omit<Conversions, 'all'> // our own
  return { ...report, all }
}

function argumentsOf({ network, document, renderer, folder }: Converted): readonly string[] {
  const path = join(NETWORKS, network.name, document)
  const nics = network.nics.flatMap(({ mac }, index) => ['-m', `${kernelName(index)},${mac}`])
  return [
    '-k',
    DOCUMENTS[document],
    '-p',
    path,
    '-O',
    renderer,
    '-D',
    RENDERERS[renderer],
    '-d',
    folder,
    ...nics,
  ]
}

/** What the NICs of a guest are called once cloud-init has renamed those that it is told to. */
function namesOf(converted: Converted): Readonly<Record<string, string>> {
  const nics = converted.network.model.links.filter((link) => link.kind === 'nic')
  return Object.fromEntries(nics.map((link) => [link.mac, guestName(converted, link)]))
}

/** What the guest of a golden network calls its NIC number `index`. */
function kernelName(index: number): string {
  return `ens${index + 3}`
}

/** What cloud-init calls a link when it reads that document. */
export function guestName(converted: Converted, link: NetworkLink): string {
  const { network, document, renderer } = converted
  const { links } = network.model
  if (document === 'network-config-v1.yaml') return nameOf(link.id)
  if (document === 'network-config.yaml') {
    // netplan keeps our ids, and finds the NICs behind them itself.
    const isFound = link.kind === 'nic' && renderer !== 'netplan' && (link.isRoot || !isNamed(link, links))
    if (!isFound) return nameOf(link.id)
  }
  if (link.kind === 'nic') return kernelName(network.nics.findIndex(({ mac }) => mac === link.mac))
  if (link.kind === 'bond') return `bond${links.filter(({ kind }) => kind === 'bond').indexOf(link)}`
  const parent = linkOf(network.model, link.parent)
  return `${guestName(converted, parent)}.${link.vlanId}`
}

/** Whether a bond or VLAN names it, and its document a name for it. */
function isNamed({ id }: NetworkLink, links: readonly NetworkLink[]): boolean {
  return links.some((link) =>
    link.kind === 'bond' ? link.members.includes(id) : link.kind === 'vlan' && link.parent === id,
  )
}

/** The link of that id. */
export function linkOf({ links }: NetworkModel, id: string): NetworkLink {
  const link = links.find((one) => one.id === id)
  if (link === undefined) throw new Error(`no link ${id}`)
  return link
}

/** All that was written for one link, as text. */
export function textOf(converted: Converted, link: NetworkLink): string {
  const name = guestName(converted, link)
  const files = filesUnder(converted.folder)
  const read = (pattern: RegExp): string =>
    files
      .filter((path) => pattern.test(path))
      .map((path) => readFileSync(path, 'utf8'))
      .join('\n')
  const escaped = name.replaceAll('.', '\\.')
  switch (converted.renderer) {
    case 'netplan': {
      const sections = JSON.parse(read(/netplan\.json$/)) as Record<string, Record<string, unknown>>
      return JSON.stringify(sections[`${link.kind === 'nic' ? 'ethernet' : link.kind}s`]?.[name] ?? 'missing')
    }
    case 'eni':
      return read(/interfaces\.d/)
        .split(/\n\n/)
        .filter((block) => new RegExp(`^iface ${escaped} `, 'm').test(block))
        .join('\n')
    case 'networkd':
      return read(new RegExp(`/10-cloud-init-${escaped}\\.(?:network|netdev)$`))
    case 'sysconfig':
      return read(new RegExp(`/(?:ifcfg|route|route6)-${escaped}$`))
    case 'network-manager':
      return read(new RegExp(`/cloud-init-${escaped}\\.nmconnection$`))
  }
}

/** Every file below a folder. */
export function filesUnder(folder: string): readonly string[] {
  if (!existsSync(folder)) return []
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}

function keysOf<T extends object>(table: T): readonly (keyof T & string)[] {
  return Object.keys(table) as (keyof T & string)[] // a literal table has no further keys
}
