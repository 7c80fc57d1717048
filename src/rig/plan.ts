import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { DaemonError } from '../errors.js'
import { parseIpv4 } from '../wire/ipv4.js'
import { planNics, type RigNicOptions, type RigNicPlan } from './nic-plan.js'

/**
 * How a rig machine boots: `bios` is SeaBIOS with the iPXE ROM, `uefi` is OVMF with the iPXE ROM, `uefi-native` is
 * OVMF with its own PXE client and no ROM, `uefi-http` the same with its HTTP boot client, `uefi-secure` that of
 * `uefi-native` with Secure Boot and Microsoft's keys.
 */
export const RIG_FIRMWARES = ['bios', 'uefi', 'uefi-native', 'uefi-http', 'uefi-secure'] as const

/** One of {@link RIG_FIRMWARES}. */
export type RigFirmware = (typeof RIG_FIRMWARES)[number]

/** A machine as an operator asks for it. */
export interface RigMachineOptions {
  /** Lower case letters, digits and hyphens, 1..30; also the id of its Redfish System. */
  readonly name: string
  /** At least one; the first is the one that firmware boots from. */
  readonly nics: readonly RigNicOptions[]
  readonly firmware: RigFirmware
  /** Default 1024. */
  readonly memoryMib?: number
  /** Default 2. */
  readonly cpus?: number
  /**
   * Gives the machine an iNIC card: it shows two virtio disks, filled from the NBD exports `machine/NAME` and
   * `machine/NAME/seed` on this Unix socket, and the firmware boots from the first, with no PXE.
   */
  readonly cardSocket?: string
  /** A raw file that the machine has as its local disk, after the NIC in the boot order. */
  readonly diskFile?: string
}

/** What a rig is made of. */
export interface RigOptions {
  /** Lower case letters, digits and hyphens, 1..30; its network namespace is `ingot-NAME`. */
  readonly name: string
  /** Absolute path of a directory that is absent or empty; the rig keeps all its files there. */
  readonly dir: string
  readonly machines: readonly RigMachineOptions[]
  /** IPv4 address of the bridge inside the namespace, default 198.18.0.1 (RFC 2544: never routed). */
  readonly address?: string
  /** IPv4 address of the tenants' bridge, which is there when a NIC is in it; default 198.18.1.1. */
  readonly tenantAddress?: string
  /** Default 24. */
  readonly prefixLength?: number
  /** TCP port of the Redfish service, default 8000. */
  readonly redfishPort?: number
}

/** A machine with every choice made. */
export interface RigMachinePlan {
  readonly name: string
  readonly nics: readonly RigNicPlan[]
  readonly firmware: RigFirmware
  readonly memoryMib: number
  readonly cpus: number
  /** SMBIOS UUID: the same for the same rig and machine names. */
  readonly uuid: string
  /** NBD socket behind its iNIC card, if it has one. */
  readonly cardSocket?: string
  /** The file behind its local disk, if it has one. */
  readonly diskFile?: string
}

/** A rig with every choice made, as `rig.json` keeps it. */
export interface RigPlan {
  readonly version: 1
  readonly name: string
  readonly namespace: string
  readonly address: string
  readonly tenantAddress: string
  /** Of both addresses. */
  readonly prefixLength: number
  readonly redfishPort: number
  readonly machines: readonly RigMachinePlan[]
}

/** Where a rig keeps its files. */
export interface RigPaths {
  readonly dir: string
  readonly plan: string
  readonly credentials: string
  readonly pid: string
  readonly log: string
  readonly socket: string
}

/** The rig's files below `dir`. */
export function rigPaths(dir: string): RigPaths {
  return {
    dir,
    plan: join(dir, 'rig.json'),
    credentials: join(dir, 'bmc-credentials'),
    pid: join(dir, 'rigd.pid'),
    log: join(dir, 'rigd.log'),
    socket: join(dir, 'rig.sock'),
  }
}

/** Where a machine keeps its files. */
export interface MachinePaths {
  readonly dir: string
  readonly console: string
  readonly qmp: string
  readonly vars: string
  readonly pid: string
  readonly log: string
}

/** A machine's files below the rig's `dir`. */
export function machinePaths(rigDir: string, machineName: string): MachinePaths {
  const dir = join(rigDir, machineName)
  return {
    dir,
    console: join(dir, 'console.log'),
    qmp: join(dir, 'qmp.sock'),
    vars: join(dir, 'vars.fd'),
    pid: join(dir, 'qemu.pid'),
    log: join(dir, 'qemu.log'),
  }
}

const NAME = /^[a-z0-9](?:[a-z0-9-]{0,28}[a-z0-9])?$/
const SOCKET_PATH_MAX = 107 // struct sockaddr_un, less its NUL
const MACHINES_MAX = 200

/**
 * Checks the options and fills in the defaults.
 * @throws DaemonError INVALID_INPUT naming the field and the rule
 */
export function planRig(options: RigOptions): RigPlan {
  demand(NAME.test(options.name), `name: expected 1 to 30 of a-z, 0-9 and hyphen, got "${options.name}"`)
  demand(options.dir.startsWith('/'), `dir: expected an absolute path, got "${options.dir}"`)
  const { address = '198.18.0.1', tenantAddress = '198.18.1.1' } = options
  for (const [key, text] of Object.entries({ address, tenantAddress }))
    demand(parseIpv4(text) !== undefined, `${key}: expected an IPv4 address, got "${text}"`)
  demand(options.machines.length <= MACHINES_MAX, `machines: at most ${MACHINES_MAX} fit in a rig`)
  const machines = options.machines.map((machine, index) => planMachine(options, machine, index))
  const macs = machines.flatMap(({ nics }) => nics.map(({ mac }) => mac))
  refuseRepeats(
    'name',
    machines.map(({ name }) => name),
  )
  refuseRepeats('mac', macs)
  return {
    version: 1,
    name: options.name,
    namespace: `ingot-${options.name}`,
    address,
    tenantAddress,
    prefixLength: within('prefixLength', options.prefixLength ?? 24, 8, 30),
    redfishPort: within('redfishPort', options.redfishPort ?? 8000, 1, 65535),
    machines,
  }
}

function planMachine(rig: RigOptions, machine: RigMachineOptions, index: number): RigMachinePlan {
  const field = `machines[${index}]`
  const isFree = machine.name !== 'bmc-credentials' // a file of the rig
  demand(isFree && NAME.test(machine.name), `${field}.name: "${machine.name}" is not a machine name`)
  const { qmp } = machinePaths(rig.dir, machine.name)
  demand(Buffer.byteLength(qmp) <= SOCKET_PATH_MAX, `dir: ${qmp} is longer than a socket path may be`)
  const { cardSocket, diskFile } = machine
  for (const [key, path] of Object.entries({ cardSocket, diskFile })) {
    const isGood = path === undefined || path.startsWith('/')
    demand(isGood, `${field}.${key}: expected an absolute path, got "${path}"`)
  }
  return {
    ...(cardSocket === undefined ? {} : { cardSocket }),
    ...(diskFile === undefined ? {} : { diskFile }),
    name: machine.name,
    nics: planNics(machine.nics, index),
    firmware: machine.firmware,
    memoryMib: within(`${field}.memoryMib`, machine.memoryMib ?? 1024, 128, 65536),
    cpus: within(`${field}.cpus`, machine.cpus ?? 2, 1, 64),
    uuid: stableUuid(`${rig.name}/${machine.name}`),
  }
}

/** A version 8 UUID (RFC 9562 section 5.8) out of a name. */
function stableUuid(name: string): string {
  const hex = createHash('sha256').update(`ingot rig ${name}`).digest('hex')
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-')
}

function refuseRepeats(field: 'name' | 'mac', values: readonly string[]): void {
  values.forEach((value, index) => {
    demand(values.indexOf(value) === index, `machines: two have the ${field} ${value}`)
  })
}

function within(field: string, value: number, min: number, max: number): number {
  const isGood = Number.isInteger(value) && value >= min && value <= max
  demand(isGood, `${field}: expected an integer ${min}..${max}, got ${value}`)
  return value
}

function demand(isTrue: boolean, message: string): asserts isTrue {
  if (!isTrue) throw new DaemonError('INVALID_INPUT', message)
}
