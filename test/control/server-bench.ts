import pino from 'pino'
import type { Test } from 'tap'
import { systemClock } from '../../src/clock.js'
import { Claims } from '../../src/control/claims.js'
import { Machines } from '../../src/control/machines.js'
import { Redeployment } from '../../src/control/redeployment.js'
import { ServerChanges } from '../../src/control/server-changes.js'
import { Servers, type ServerDeps } from '../../src/control/servers.js'
import { WishState, type WishStateDeps } from '../../src/control/wish-state.js'
import type { DaemonEvent } from '../../src/events.js'
import { openRegistry, type Registry } from '../../src/registry/registry.js'
import { FakePower } from '../fakes/fake-power.js'

const SUBNET = { network: 0xc6120000, prefixLength: 24, mask: 0xffffff00, broadcast: 0xc61200ff }

/** Control over an in-memory registry with one image, `debian`; the disks are names. */
export interface Bench {
  readonly registry: Registry
  readonly machines: Machines
  readonly servers: Servers
  readonly changes: ServerChanges
  readonly redeployment: Redeployment
  readonly deps: ServerDeps
  readonly power: FakePower
  readonly layers: Set<string>
  readonly events: DaemonEvent[]
}

/** What tests may put in place of the parts that always do what they are told. */
export type BenchParts = Partial<ServerDeps> & { readonly reload?: WishStateDeps['reload'] }

/** A bench, closed with the test. */
export function bench(t: Test, { reload, ...parts }: BenchParts = {}): Bench {
  const registry = openRegistry(':memory:')
  t.teardown(() => registry.close())
  const image = {
    id: 'img',
    name: 'debian',
    osType: 'linux',
    osVersion: '12',
    sizeBytes: 4 * 2 ** 30,
    kernelArguments: undefined,
    properties: {},
    inspection: undefined,
  } as const
  registry.images.insert({ ...image, status: 'saving', layerId: undefined, sha256: undefined, createdMs: 1 })
  registry.layers.insert({
    id: 'gold',
    parentId: undefined,
    sizeBytes: image.sizeBytes,
    isImmutable: true,
    createdMs: 1,
  })
  registry.images.setActive('img', { ...image, layerId: 'gold', sha256: 'ab' })
  const power = new FakePower()
  const layers = new Set<string>()
  const events: DaemonEvent[] = []
  const deleteLayer = (layerId: string): Promise<void> => Promise.resolve(void layers.delete(layerId))
  const deps: ServerDeps = {
    registry,
    clock: systemClock,
    claims: new Claims(),
    wishes: new WishState({
      registry,
      log: pino({ level: 'silent' }),
      reload: reload ?? (() => Promise.resolve({ failed: [] })),
      deleteLayer,
    }),
    createLayer: ({ layerId }) => Promise.resolve(void layers.add(layerId)),
    deleteLayer,
    powerOf: () => power,
    checkSeed: () => undefined,
    emit: (event) => events.push(event),
    ...parts,
  }
  const rules = { subnets: [SUBNET], reservedAddresses: [0xc6120001] }
  const machines = new Machines({ ...deps, rules })
  const servers = new Servers(deps)
  const changes = new ServerChanges(deps)
  const redeployment = new Redeployment(deps)
  return { registry, machines, servers, changes, redeployment, deps, power, layers, events }
}

/** Enrols `m1` and so on, with an address of its own. */
export function addMachine(machines: Machines, n: number): void {
  machines.add({
    name: `m${n}`,
    firmware: 'bios',
    nics: [{ mac: `52:54:00:00:00:0${n}`, ip: `198.18.0.${10 + n}` }],
    bmcUrl: `redfish://198.18.0.1:8000/redfish/v1/Systems/m${n}`,
    bmcCredentialsFile: '/nowhere',
  })
}

/** A server to create. */
export const WISH = { name: 'web1', image: 'debian', keys: [], addressing: 'dhcp' } as const
