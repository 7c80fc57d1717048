import type { Clock } from '../../clock.js'
import { STAGES, type EmitEvent } from '../../events.js'
import type { MachineRecord } from '../../registry/records.js'
import type { Registry } from '../../registry/registry.js'
import type { Service } from '../../service.js'
import type { Reached } from '../boots.js'
import { probeDhcp, throwAwayMac, type ProbeResult } from './dhcp-probe.js'
import type { DhcpSightings } from './dhcp-sightings.js'
import { hostInterfaces, hostRoutes, ownUdpSockets } from './kernel-network.js'
import {
  networkFindings,
  otherServerFindings,
  type BootInProgress,
  type DoctorSubnet,
  type Finding,
  type NetworkFacts,
} from './network-findings.js'

/** The boot network as it is now, and what is wrong with it. */
export interface NetworkReport extends NetworkFacts {
  readonly findings: readonly Finding[]
}

/** Ports other than DHCP's own are for tests: nobody else is there to be found. */
const DHCP_PORT = 67

const BEYOND_DHCP = STAGES.slice(STAGES.indexOf('dhcp') + 1)

/** Says what is wrong with the boot network: asked by `ingot doctor network`, and once before DHCP is served. */
export class NetworkDoctor {
  /** What other DHCP servers are asked with; our own must not answer it. */
  readonly mac = throwAwayMac()

  readonly #subnets: readonly DoctorSubnet[]
  readonly #dhcpPort: number
  readonly #metadataAddress: string | undefined
  readonly #registry: Pick<Registry, 'servers' | 'machines'>
  readonly #reached: (serverId: string) => Reached
  readonly #sightings: DhcpSightings
  readonly #clock: Clock
  readonly #emit: EmitEvent
  #probing: Promise<ReadonlyMap<string, ProbeResult>> | undefined

  constructor(deps: {
    subnets: readonly DoctorSubnet[]
    dhcpPort: number
    metadataAddress: string | undefined
    registry: Pick<Registry, 'servers' | 'machines'>
    /** The stages of a server's latest boot. */
    reached: (serverId: string) => Reached
    sightings: DhcpSightings
    clock: Clock
    emit: EmitEvent
  }) {
    this.#subnets = deps.subnets
    this.#dhcpPort = deps.dhcpPort
    this.#metadataAddress = deps.metadataAddress
    this.#registry = deps.registry
    this.#reached = deps.reached
    this.#sightings = deps.sightings
    this.#clock = deps.clock
    this.#emit = deps.emit
  }

  /** A service that begins to ask every segment for other DHCP servers. */
  get probe(): Service {
    return { name: 'dhcp-probe', start: () => Promise.resolve(void this.#probe()), stop: nothing }
  }

  /**
   * A service that waits for what was begun and tells who answered. What starts between the two costs no extra time;
   * nothing that is found stops the daemon.
   */
  get answers(): Service {
    return { name: 'dhcp-probe-answers', start: () => this.#tell(), stop: nothing }
  }

  /** Looks at everything; some two seconds, since others are given time to answer. */
  async report(): Promise<NetworkReport> {
    const probes = await this.#probe()
    const facts = {
      subnets: this.#subnets.map((subnet) => ({ ...subnet, probe: probes.get(subnet.cidr) })),
      interfaces: await hostInterfaces(),
      routes: await hostRoutes(),
      sockets: await ownUdpSockets(),
      dhcpPort: this.#dhcpPort,
      metadataAddress: this.#metadataAddress,
      relays: this.#sightings.relays(),
      boots: this.#boots(),
    }
    return { ...facts, findings: networkFindings(facts, this.#clock.nowMs()) }
  }

  /** One round at a time: whoever asks meanwhile gets its answers. */
  #probe(): Promise<ReadonlyMap<string, ProbeResult>> {
    this.#probing ??= this.#probeAll().finally(() => (this.#probing = undefined))
    return this.#probing
  }

  async #probeAll(): Promise<ReadonlyMap<string, ProbeResult>> {
    if (this.#dhcpPort !== DHCP_PORT) return new Map()
    const heard = this.#subnets.filter(({ mode, isRelayed }) => mode !== 'off' && !isRelayed)
    const probes = heard.map(async ({ cidr, address }): Promise<[string, ProbeResult]> => {
      return [cidr, await probeDhcp({ address, mac: this.mac }, this.#clock)]
    })
    return new Map(await Promise.all(probes))
  }

  async #tell(): Promise<void> {
    const probes = await this.#probe()
    for (const subnet of this.#subnets) {
      for (const { about, message } of otherServerFindings({ ...subnet, probe: probes.get(subnet.cidr) }))
        this.#emit({ kind: 'dhcp.other-server', message: `${about}: ${message}` })
    }
  }

  #boots(): readonly BootInProgress[] {
    return this.#registry.servers.list().flatMap(({ id, machineId }) => {
      const machine = this.#registry.machines.get(machineId)
      return machine === undefined ? [] : [this.#boot(machine, this.#reached(id))]
    })
  }

  #boot({ name, nics }: MachineRecord, reached: Reached): BootInProgress {
    const seen = nics.flatMap(({ mac }) => this.#sightings.machine(mac) ?? [])
    const [first] = seen.toSorted((a, b) => b.lastMs - a.lastMs)
    const beyond = BEYOND_DHCP.map((stage) => reached.get(stage))
    return {
      machine: name,
      poweredOnMs: reached.get('powered-on'),
      heardMs: latest([first?.lastMs, reached.get('dhcp'), ...beyond]),
      secs: first?.secs ?? 0,
      proxiedMs: first?.proxiedMs,
      followedMs: latest([first?.pxePortMs, ...beyond]),
    }
  }
}

function latest(times: readonly (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined)
  return known.length === 0 ? undefined : Math.max(...known)
}

function nothing(): Promise<void> {
  return Promise.resolve()
}
