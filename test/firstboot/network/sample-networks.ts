import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseNetwork, type MachineNic } from '../../../src/firstboot/network/network-document.js'
import type { NetworkModel } from '../../../src/firstboot/network/network.js'

/** Where the golden network documents are. */
export const NETWORKS = join(import.meta.dirname, '../../../fixtures/firstboot/network')

/** A golden network: what an operator wrote, for which NICs, and what was read from it. */
export interface SampleNetwork {
  readonly name: string
  readonly nics: readonly MachineNic[]
  readonly model: NetworkModel
}

/** Every golden network. */
export function sampleNetworks(): readonly SampleNetwork[] {
  const folders = readdirSync(NETWORKS, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  return folders.map(({ name }) => sampleNetwork(name))
}

/** The golden network of that name. */
export function sampleNetwork(name: string): SampleNetwork {
  const text = readFileSync(join(NETWORKS, name, 'document.json'), 'utf8')
  const { nics, network } = JSON.parse(text) as { nics: MachineNic[]; network: unknown } // our own fixture
  return { name, nics, model: parseNetwork(network, nics) }
}
