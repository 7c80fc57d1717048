import { NO_OVERRIDE, PowerConflict, RESET_TYPES, type BootOverride, type ManagedMachine } from './machine.js'

/** A request, after authentication. */
export interface RedfishRequest {
  readonly method: string
  /** Path without the query. */
  readonly path: string
  /** The JSON body, undefined when there was none. */
  readonly body: unknown
}

/** What to answer; no body means 204. */
export interface RedfishReply {
  readonly status: number
  readonly body?: object
  readonly allow?: string
}

const ROOT = '/redfish/v1'
const SYSTEM_PATH = /^\/redfish\/v1\/Systems\/([a-z0-9-]+)(\/Actions\/ComputerSystem\.Reset)?$/
const OVERRIDE_ENABLED: readonly BootOverride['enabled'][] = ['Disabled', 'Once', 'Continuous']
const OVERRIDE_TARGET: readonly BootOverride['target'][] = ['None', 'Pxe', 'Hdd']

/** Whether anybody may ask: version and service root (DSP0266 section 13.3). */
export function isPublicPath(path: string): boolean {
  return ['/redfish', ROOT].includes(trimmed(path))
}

/** One virtual BMC for all `machines`: the part of Redfish that power and boot control use (DSP0266, DSP0268). */
export async function answerRedfish(
  request: RedfishRequest,
  machines: readonly ManagedMachine[],
): Promise<RedfishReply> {
  const path = trimmed(request.path)
  const collection = new Map<string, () => object>([
    ['/redfish', () => ({ v1: `${ROOT}/` })],
    [ROOT, serviceRoot],
    [`${ROOT}/Systems`, () => systems(machines)],
  ]).get(path)
  if (collection !== undefined)
    return request.method === 'GET' ? { status: 200, body: collection() } : onlyFor('GET')
  const [, name, action] = SYSTEM_PATH.exec(path) ?? []
  const machine = machines.find((candidate) => candidate.name === name)
  if (machine === undefined) return refusal(404, 'ResourceMissingAtURI', `there is no resource at ${path}`)
  if (action === undefined) return answerSystem(request, machine)
  return request.method === 'POST' ? pressReset(request.body, machine) : onlyFor('POST')
}

function answerSystem({ method, body }: RedfishRequest, machine: ManagedMachine): RedfishReply {
  if (method === 'GET') return { status: 200, body: system(machine) }
  if (method !== 'PATCH') return onlyFor('GET, PATCH')
  const boot = asRecord(asRecord(body)?.['Boot'])
  if (boot === undefined) return refusal(400, 'PropertyMissing', 'the property Boot is needed')
  const enabled = OVERRIDE_ENABLED.find((value) => value === boot['BootSourceOverrideEnabled'])
  const target = OVERRIDE_TARGET.find((value) => value === (boot['BootSourceOverrideTarget'] ?? 'None'))
  if (enabled === undefined) return badValue('BootSourceOverrideEnabled')
  if (target === undefined) return badValue('BootSourceOverrideTarget')
  machine.bootOverride = enabled === 'Disabled' ? NO_OVERRIDE : { enabled, target }
  return { status: 200, body: system(machine) }
}

async function pressReset(body: unknown, machine: ManagedMachine): Promise<RedfishReply> {
  const type = RESET_TYPES.find((candidate) => candidate === asRecord(body)?.['ResetType'])
  if (type === undefined) return badValue('ResetType')
  try {
    await machine.reset(type)
    return { status: 204 }
  } catch (err) {
    if (err instanceof PowerConflict) return refusal(409, 'ResourceInUse', err.message)
    return refusal(500, 'InternalError', err instanceof Error ? err.message : 'unknown')
  }
}

function serviceRoot(): object {
  return {
    '@odata.id': `${ROOT}/`,
    '@odata.type': '#ServiceRoot.v1_5_0.ServiceRoot',
    Id: 'RootService',
    Name: 'Ingot rig',
    RedfishVersion: '1.8.0',
    Systems: { '@odata.id': `${ROOT}/Systems` },
  }
}

function systems(machines: readonly ManagedMachine[]): object {
  return {
    '@odata.id': `${ROOT}/Systems`,
    '@odata.type': '#ComputerSystemCollection.ComputerSystemCollection',
    Name: 'Machines of the rig',
    'Members@odata.count': machines.length,
    Members: machines.map(({ name }) => ({ '@odata.id': `${ROOT}/Systems/${name}` })),
  }
}

function system(machine: ManagedMachine): object {
  const id = `${ROOT}/Systems/${machine.name}`
  return {
    '@odata.id': id,
    '@odata.type': '#ComputerSystem.v1_8_0.ComputerSystem',
    Id: machine.name,
    Name: machine.name,
    SystemType: 'Virtual',
    Manufacturer: 'Ingot',
    UUID: machine.uuid,
    PowerState: machine.powerState,
    Status: { State: 'Enabled', Health: 'OK' },
    MemorySummary: { TotalSystemMemoryGiB: machine.memoryMib / 1024 },
    Boot: bootProperties(machine),
    Actions: {
      '#ComputerSystem.Reset': {
        target: `${id}/Actions/ComputerSystem.Reset`,
        'ResetType@Redfish.AllowableValues': RESET_TYPES,
      },
    },
  }
}

function bootProperties({ bootOverride, firmware }: ManagedMachine): object {
  return {
    BootSourceOverrideEnabled: bootOverride.enabled,
    BootSourceOverrideTarget: bootOverride.target,
    BootSourceOverrideMode: firmware === 'BIOS' ? 'Legacy' : 'UEFI',
    'BootSourceOverrideTarget@Redfish.AllowableValues': OVERRIDE_TARGET,
  }
}

function badValue(property: string): RedfishReply {
  return refusal(
    400,
    'PropertyValueNotInList',
    `the value of ${property} is not in the list of acceptable values`,
  )
}

function onlyFor(allow: string): RedfishReply {
  return { ...refusal(405, 'OperationNotAllowed', `only ${allow} is answered here`), allow }
}

/** Redfish's error body (DSP0266 section 8.6). */
export function refusal(status: number, id: string, message: string): RedfishReply {
  const code = `Base.1.8.${id}`
  const extended = [{ '@odata.type': '#Message.v1_0_8.Message', MessageId: code, Message: message }]
  return { status, body: { error: { code, message, '@Message.ExtendedInfo': extended } } }
}

function trimmed(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : path
}

function asRecord(value: unknown): Record<string, unknown> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return value as Record<string, unknown> // any object may be looked into
}
