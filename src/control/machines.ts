import { randomUUID } from 'node:crypto'
import type { Clock } from '../clock.js'
import { DaemonError } from '../errors.js'
import { isLoaderName } from '../netboot/loader-table.js'
import type { MachineRecord, NicRecord, ServerRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'
import { formatIpv4, isInSubnet, parseIpv4, type Subnet } from '../wire/ipv4.js'
import { parseMac } from '../wire/mac.js'
import { parsePortId, switchPortName } from '../wire/switch-port.js'
import { checkName } from './names.js'
import { expectKernel } from './signed-boot.js'
import type { WishState } from './wish-state.js'

const MOST_NICS = 16

/** Where a NIC is plugged in, as option 82 of the switch says: text, or hex after `0x`. */
export interface SwitchPort {
  readonly circuitId?: string | undefined
  readonly remoteId?: string | undefined
}

/** A NIC of a machine to enrol. */
export interface NewNic {
  readonly mac: string
  readonly ip?: string | undefined
  readonly switchPort?: SwitchPort | undefined
  /** `tenant` when left out. */
  readonly role?: NicRecord['role'] | undefined
}

/** A machine to enrol. */
export interface NewMachine {
  readonly name: string
  /** NICs, the one that firmware boots from first. */
  readonly nics: readonly NewNic[]
  readonly firmware: 'bios' | 'uefi'
  readonly bmcUrl?: string | undefined
  readonly bmcCredentialsFile?: string | undefined
  /** A plain file name: its loader instead of the table's. */
  readonly loader?: string | undefined
  /** How its root disk comes; `nic` when left out. */
  readonly inic?: MachineRecord['inic'] | undefined
  /** Absolute path of the file that the serial console is logged to. */
  readonly consoleFile?: string | undefined
}

/** What may change of the ways that a machine is wired; what is left out stays. */
export interface WiringChange {
  readonly roles?: readonly Required<Pick<NewNic, 'mac' | 'role'>>[] | undefined
  readonly added?: readonly NewNic[] | undefined
  /** MACs. */
  readonly removed?: readonly string[] | undefined
  readonly inic?: MachineRecord['inic'] | undefined
}

/** What machines need of the other rooms. */
export interface MachineDeps {
  readonly registry: Registry
  readonly clock: Clock
  readonly rules: MachineRules
  /** Refuses what the seed of a machine's server could not carry any more. @throws DaemonError INVALID_INPUT */
  readonly checkSeed: (server: ServerRecord, machine: MachineRecord) => void
  readonly wishes: Pick<WishState, 'applyWhenUp'>
}

/** Where machines live. */
export interface MachineRules {
  /** Empty when DHCP is somebody else's: any address goes then. */
  readonly subnets: readonly Subnet[]
  /** Addresses no machine may have (the daemon's own, the router's). */
  readonly reservedAddresses: readonly number[]
}

/** Enrols and removes machines. */
export class Machines {
  readonly #registry: Registry
  readonly #deps: MachineDeps

  constructor(deps: MachineDeps) {
    this.#registry = deps.registry
    this.#deps = deps
  }

  /** Enrols a machine. @throws DaemonError INVALID_INPUT, NAME_TAKEN, MAC_TAKEN, ADDRESS_TAKEN */
  add(input: NewMachine): MachineRecord {
    checkName('name', input.name)
    const id = randomUUID()
    const machine: MachineRecord = {
      id,
      name: input.name,
      firmware: input.firmware,
      bmcUrl: input.bmcUrl,
      bmcCredentialsFile: input.bmcCredentialsFile,
      loader: input.loader === undefined ? undefined : checkLoader(input.loader),
      inic: input.inic ?? 'nic',
      consoleFile: input.consoleFile,
      nics: input.nics.map((nic, position) => this.#nicOf(nic, id, position)),
      createdMs: this.#deps.clock.nowMs(),
    }
    checkBmc(input)
    checkNics(machine)
    this.#registry.machines.insert(machine)
    return machine
  }

  /** The machine of that name or id. @throws DaemonError NOT_FOUND */
  get(idOrName: string): MachineRecord {
    const machine = this.#registry.machines.find(idOrName)
    if (machine === undefined) throw new DaemonError('NOT_FOUND', `no machine ${JSON.stringify(idOrName)}`)
    return machine
  }

  /**
   * Gives a machine a loader of its own for whatever firmware it boots with; undefined: the table's again.
   * @throws DaemonError NOT_FOUND, INVALID_INPUT; WRONG_STATE when its server's image has no kernel for it
   */
  setLoader(idOrName: string, loader: string | undefined): MachineRecord {
    const { id } = this.get(idOrName)
    const imageId = this.#registry.servers.findByMachine(id)?.imageId
    const image = imageId === undefined ? undefined : this.#registry.images.get(imageId)
    if (image !== undefined) expectKernel(loader, image)
    this.#registry.machines.setLoader(id, loader === undefined ? undefined : checkLoader(loader))
    return this.get(id)
  }

  /**
   * Says where the NIC that boots is plugged in, so that it is known whatever its MAC; undefined: by MAC alone.
   * @throws DaemonError NOT_FOUND, INVALID_INPUT, NAME_TAKEN
   */
  setSwitchPort(idOrName: string, port: SwitchPort | undefined): MachineRecord {
    const { id } = this.get(idOrName)
    this.#registry.machines.setSwitchPort(id, port === undefined ? undefined : checkSwitchPort(port))
    return this.get(id)
  }

  /**
   * Changes NICs and says how the root disk comes; the seed of the machine's server follows at once.
   * @throws DaemonError NOT_FOUND, MAC_TAKEN, ADDRESS_TAKEN; INVALID_INPUT when no tenant NIC were left, or the
   * server's network needs one that goes
   */
  async setWiring(idOrName: string, change: WiringChange): Promise<MachineRecord> {
    const { checkSeed, wishes } = this.#deps
    const before = this.get(idOrName)
    const after = { ...before, nics: this.#changedNics(before, change), inic: change.inic ?? before.inic }
    checkNics(after)
    const { machines, servers } = this.#registry
    const server = servers.findByMachine(after.id)
    if (server !== undefined) checkSeed(server, after)
    machines.setWiring(after)
    if (server !== undefined) await wishes.applyWhenUp()
    return after
  }

  /** Every machine. */
  list(): readonly MachineRecord[] {
    return this.#registry.machines.list()
  }

  /** Removes a machine that no server uses. @throws DaemonError NOT_FOUND, IN_USE */
  delete(idOrName: string): void {
    const machine = this.get(idOrName)
    const server = this.#registry.servers.findByMachine(machine.id)
    if (server !== undefined) {
      throw new DaemonError('IN_USE', `machine ${machine.name} runs server ${server.name}: delete that first`)
    }
    this.#registry.machines.delete(machine.id)
  }

  #nicOf(nic: NewNic, machineId: string, position: number): NicRecord {
    return {
      machineId,
      position,
      mac: checkMac(nic.mac),
      ip: nic.ip === undefined ? undefined : this.#checkIp(nic.ip),
      switchPort: nic.switchPort === undefined ? undefined : checkSwitchPort(nic.switchPort),
      role: nic.role ?? 'tenant',
    }
  }

  /** The first NIC stays the first: firmware boots from it. */
  #changedNics(machine: MachineRecord, { roles = [], added = [], removed = [] }: WiringChange): NicRecord[] {
    const roleOf = new Map(roles.map(({ mac, role }) => [ownMac(machine, mac), role]))
    const gone = new Set(removed.map((mac) => ownMac(machine, mac)))
    if (gone.has(machine.nics[0]?.mac ?? ''))
      throw new DaemonError('INVALID_INPUT', 'remove_nics: firmware boots from the first NIC, which stays')
    const kept = machine.nics.filter(({ mac }) => !gone.has(mac))
    const last = machine.nics.at(-1)?.position ?? -1
    return [
      ...kept.map((nic) => ({ ...nic, role: roleOf.get(nic.mac) ?? nic.role })),
      ...added.map((nic, index) => this.#nicOf(nic, machine.id, last + 1 + index)),
    ]
  }

  #checkIp(text: string): string {
    const ip = parseIpv4(text)
    const { subnets, reservedAddresses } = this.#deps.rules
    if (ip === undefined)
      throw new DaemonError('INVALID_INPUT', `ip: expected an IPv4 address, got ${JSON.stringify(text)}`)
    if (subnets.length > 0 && !subnets.some((subnet) => isHostOf(ip, subnet))) {
      const cidrs = subnets.map((subnet) => `${formatIpv4(subnet.network)}/${subnet.prefixLength}`)
      const which = `the subnet ${cidrs.join(' or ')}`
      throw new DaemonError('INVALID_INPUT', `ip: ${text} is not a host address of ${which}`)
    }
    if (reservedAddresses.includes(ip))
      throw new DaemonError('ADDRESS_TAKEN', `ip: ${text} belongs to the boot network itself`)
    return text
  }
}

function isHostOf(ip: number, subnet: Subnet): boolean {
  return isInSubnet(ip, subnet) && ip !== subnet.network && ip !== subnet.broadcast
}

/** The NIC of a machine that `text` names. */
function ownMac({ name, nics }: MachineRecord, text: string): string {
  const mac = checkMac(text)
  if (nics.some((nic) => nic.mac === mac)) return mac
  throw new DaemonError('NOT_FOUND', `nics: machine ${name} has no NIC ${mac}`)
}

/** Firmware boots from the first, unless a card shows the disk, and a guest has to be reached somehow. */
function checkNics({ nics, inic }: Pick<MachineRecord, 'nics' | 'inic'>): void {
  if (nics.length === 0 || nics.length > MOST_NICS)
    throw new DaemonError('INVALID_INPUT', `nics: a machine has 1 to ${MOST_NICS} NICs, got ${nics.length}`)
  if (inic === 'nic' && nics[0]?.ip === undefined)
    throw new DaemonError('INVALID_INPUT', 'nics[0].ip: the NIC that boots needs a fixed address')
  if (nics.some(({ role }) => role === 'tenant')) return
  throw new DaemonError('INVALID_INPUT', 'nics: expected one NIC of role tenant at least, all are storage')
}

function checkSwitchPort({ circuitId, remoteId }: SwitchPort): string {
  const ids = { circuit_id: circuitId, remote_id: remoteId }
  const [circuit, remote] = Object.entries(ids).map(([field, text]) => {
    const id = text === undefined ? undefined : parsePortId(text)
    if (text === undefined || id !== undefined) return id
    throw new DaemonError('INVALID_INPUT', `${field}: expected 1 to 253 bytes of text, or of hex after 0x`)
  })
  const name = switchPortName(circuit, remote)
  if (name !== undefined) return name
  throw new DaemonError('INVALID_INPUT', 'switch_port: expected a circuit_id, a remote_id or both')
}

function checkLoader(name: string): string {
  if (isLoaderName(name)) return name
  throw new DaemonError(
    'INVALID_INPUT',
    `loader: expected a plain file name of the loader directories, got ${JSON.stringify(name)}`,
  )
}

function checkMac(text: string): string {
  const mac = parseMac(text)
  if (mac === undefined) {
    throw new DaemonError(
      'INVALID_INPUT',
      `mac: expected six hexadecimal bytes as 52:54:00:12:34:56, got ${JSON.stringify(text)}`,
    )
  }
  return mac
}

function checkBmc(input: NewMachine): void {
  if (input.bmcUrl === undefined) return
  const url = URL.canParse(input.bmcUrl) ? new URL(input.bmcUrl) : undefined
  if (url === undefined || !/^redfish(\+https)?:$/.test(url.protocol)) {
    throw new DaemonError(
      'INVALID_INPUT',
      `bmc_url: expected redfish://HOST:PORT/redfish/v1/Systems/ID, got ${JSON.stringify(input.bmcUrl)}`,
    )
  }
  if (url.password !== '' || url.username !== '') {
    throw new DaemonError(
      'INVALID_INPUT',
      'bmc_url: the credentials go into a file named by bmc_credentials_file',
    )
  }
}
