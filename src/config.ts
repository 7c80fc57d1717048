import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, TomlError } from 'smol-toml'
import { crossChecks } from './config-checks.js'
import { lineLocator } from './config-lines.js'
import { SCHEMA, type Key, type Problem, type SectionName, type Values } from './config-schema.js'
import { subnetConfigs, type SubnetConfig } from './config-subnets.js'
import { DaemonError } from './errors.js'

/** Whose socket the API is; `group` may use it too. */
export interface ApiConfig {
  readonly socket: string
  readonly group: string | undefined
}

/** What machines boot from; `address` is ours, as machines reach it. Port 0 is any free one. */
export interface BootConfig {
  readonly address: string
  readonly httpPort: number
  readonly loaderDirs: readonly string[]
  readonly isTftpEnabled: boolean
  readonly tftpPort: number
  readonly dhcpPort: number
  readonly pxePort: number
}

/** Where servers ask for their metadata. Port 0 is any free one. */
export interface MetadataConfig {
  readonly address: string
  readonly port: number
}

/** The portal, and whether `ingotd` starts an `ingot-targetd` itself. */
export interface TargetConfig {
  /** `embedded` is `ingot-targetd`, `tgt` a tgtd that somebody else starts. */
  readonly driver: Values['target']['driver']
  /** Where tgtd is managed; its name ends in tgtd's control number. */
  readonly tgtSocket: string
  readonly address: string
  readonly port: number
  readonly controlSocket: string
  readonly isManaged: boolean
  /** Memory for golden image data, of all workers together. */
  readonly cacheSizeBytes: number
  /** Reads and writes that a disk is given at a time, of each worker. */
  readonly ioThreads: number
  /** Processes that the servers' targets are spread over; 1 for all in one with the portal. */
  readonly workers: number
}

/** The NBD server: always on a Unix socket, on TCP too when it has an address. */
export interface NbdConfig {
  readonly socket: string
  readonly tcp:
    { readonly address: string; readonly port: number; readonly tls: NbdTlsFiles | undefined } | undefined
}

/** PEM files; with a client CA only clients with a certificate of it are let in. */
export interface NbdTlsFiles {
  readonly certificate: string
  readonly key: string
  readonly clientCa: string | undefined
}

/** Limits of the import of images, and where built ones are kept. */
export interface ImageConfig {
  readonly cacheDir: string
  readonly maxSizeBytes: number
  readonly convertTimeoutSeconds: number
  readonly convertMemoryBytes: number
}

/** The whole configuration: checked, complete, frozen. */
export interface Config {
  readonly stateDir: string
  readonly runDir: string
  readonly logLevel: Values['']['log_level']
  readonly unknownMachines: Values['']['unknown_machines']
  /** What servers are told that they are in. */
  readonly availabilityZone: string | undefined
  readonly api: ApiConfig
  /** Absent when machines are booted by somebody else. */
  readonly boot: BootConfig | undefined
  /** Empty when DHCP is somebody else's. */
  readonly subnets: readonly SubnetConfig[]
  /** Absent when nobody is to be served, as where no subnet is. */
  readonly metadata: MetadataConfig | undefined
  readonly target: TargetConfig
  /** Absent when nobody is to attach disks over NBD. */
  readonly nbd: NbdConfig | undefined
  readonly image: ImageConfig
}

/**
 * Reads and checks a configuration file.
 * @throws DaemonError CONFIG_INVALID, one line for each problem
 */
export function loadConfig(path: string): Config {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (err) {
    const reason = err instanceof Error ? err.message : String(err)
    throw new DaemonError('CONFIG_INVALID', `${path}: expected a readable file, got ${reason}`, {
      cause: err,
    })
  }
  return parseConfig(text, path)
}

/**
 * Checks a configuration (TOML) and fills in the defaults.
 * @param file its name in messages
 * @throws DaemonError CONFIG_INVALID with every problem, each a line `FILE:LINE: path: expected rule, got value`
 */
export function parseConfig(text: string, file: string): Config {
  const table = parseToml(text, file)
  const { values, problems } = readValues(table)
  problems.push(...crossChecks(values, new Set(problems.map(({ path }) => path))))
  if (problems.length === 0) return deepFreeze(toConfig(values))
  const lineOf = lineLocator(text)
  const lines = problems.map(({ path, expected, got }) => {
    return { line: lineOf(path), text: `${path}: expected ${expected}, got ${got}` }
  })
  lines.sort((a, b) => a.line - b.line)
  throw new DaemonError('CONFIG_INVALID', lines.map((one) => `${file}:${one.line}: ${one.text}`).join('\n'))
}

function parseToml(text: string, file: string): Record<string, unknown> {
  try {
    return parse(text, { unsafeKeyBehaviour: 'throw' })
  } catch (err) {
    if (!(err instanceof TomlError)) throw err
    const reason = err.message.split('\n')[0]?.replace('Invalid TOML document: ', '') ?? ''
    throw new DaemonError('CONFIG_INVALID', `${file}:${err.line}: expected TOML, got: ${reason}`, {
      cause: err,
    })
  }
}

function readValues(table: Record<string, unknown>): { values: Values; problems: Problem[] } {
  const problems: Problem[] = []
  const sections = Object.keys(SCHEMA) as SectionName[] // its own keys
  const values = sections.map((name) => {
    if (name === 'subnet') return [name, readSubnets(table['subnet'], problems)]
    const section = name === '' ? withoutSections(table) : sectionOf(table, name, problems)
    return [name, readSection({ section, name, path: name }, problems)]
  })
  return { values: Object.fromEntries(values) as Values, problems } // by the keys and rules of SCHEMA
}

/** `[subnet]`, or any number of `[[subnet]]`. */
function readSubnets(value: unknown, problems: Problem[]): Record<string, unknown>[] {
  const all: readonly unknown[] = Array.isArray(value) && value.length > 0 ? value : [value ?? {}]
  return all.map((one, index) => {
    const path = Array.isArray(value) ? `subnet[${index}]` : 'subnet'
    if (!isTable(one)) problems.push({ path, expected: 'a table [subnet]', got: shown(one) })
    return { ...readSection({ section: isTable(one) ? one : {}, name: 'subnet', path }, problems), path }
  })
}

function withoutSections(table: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(table).filter(([name]) => name === '' || !Object.hasOwn(SCHEMA, name)),
  )
}

function sectionOf(
  table: Record<string, unknown>,
  name: string,
  problems: Problem[],
): Record<string, unknown> {
  const section = Object.hasOwn(table, name) ? table[name] : {}
  if (isTable(section)) return section
  problems.push({ path: name, expected: `a table [${name}]`, got: shown(section) })
  return {}
}

interface Section {
  readonly section: Record<string, unknown>
  readonly name: SectionName
  /** In messages. */
  readonly path: string
}

function readSection({ section, name, path: at }: Section, problems: Problem[]): Record<string, unknown> {
  const keys: Readonly<Record<string, Key<unknown>>> = SCHEMA[name]
  const path = (key: string): string => (at === '' ? key : `${at}.${key}`)
  for (const key of Object.keys(section)) {
    if (Object.hasOwn(keys, key)) continue
    const known = [
      ...Object.keys(keys),
      ...(name === '' ? Object.keys(SCHEMA).filter((one) => one !== '') : []),
    ]
    problems.push({ path: path(key), expected: `one of the keys ${known.join(', ')}`, got: shown(key) })
  }
  const values = Object.entries(keys).map(([key, { rule, fallback }]) => {
    if (!Object.hasOwn(section, key)) return [key, fallback]
    const value = rule.read(section[key])
    if (value === undefined)
      problems.push({ path: path(key), expected: rule.expected, got: shown(section[key]) })
    return [key, value ?? fallback]
  })
  return Object.fromEntries(values) as Record<string, unknown>
}

/** Only after every check has passed: what is missing then is what may be. */
function toConfig(values: Values): Config {
  const { '': top, api, boot, target, image } = values
  const subnets = subnetConfigs(values)
  return {
    stateDir: top.state_dir,
    runDir: top.run_dir,
    logLevel: top.log_level,
    unknownMachines: top.unknown_machines,
    availabilityZone: top.availability_zone,
    api: { socket: api.socket ?? join(top.run_dir, 'api.sock'), group: api.group },
    boot: bootConfig(values),
    subnets,
    metadata: metadataConfig(values, subnets),
    target: {
      driver: target.driver,
      tgtSocket: target.tgt_socket,
      address: target.address ?? boot.address ?? '127.0.0.1',
      port: target.port,
      controlSocket: target.control_socket ?? join(top.run_dir, 'targetd.sock'),
      isManaged: target.managed,
      cacheSizeBytes: target.cache_size_bytes,
      ioThreads: target.io_threads,
      workers: target.workers,
    },
    nbd: nbdConfig(values),
    image: {
      cacheDir: image.cache_dir ?? join(top.state_dir, 'cache'),
      maxSizeBytes: image.max_size_bytes,
      convertTimeoutSeconds: image.convert_timeout_seconds,
      convertMemoryBytes: image.convert_memory_bytes,
    },
  }
}

function bootConfig({ boot }: Values): BootConfig | undefined {
  if (!boot.enabled || boot.address === undefined) return undefined
  return {
    address: boot.address,
    httpPort: boot.http_port,
    loaderDirs: boot.loader_dirs,
    isTftpEnabled: boot.tftp,
    tftpPort: boot.tftp_port,
    dhcpPort: boot.dhcp_port,
    pxePort: boot.pxe_port,
  }
}

function metadataConfig(
  { metadata: { enabled, address, port } }: Values,
  subnets: readonly SubnetConfig[],
): MetadataConfig | undefined {
  return (enabled ?? subnets.length > 0) ? { address, port } : undefined
}

function nbdConfig({ '': top, nbd }: Values): NbdConfig | undefined {
  if (!nbd.enabled) return undefined
  const { address, port, tls_certificate_file: certificate, tls_key_file: key } = nbd
  const hasTls = certificate !== undefined && key !== undefined
  const tls = hasTls ? { certificate, key, clientCa: nbd.tls_client_ca_file } : undefined
  const socket = nbd.socket ?? join(top.run_dir, 'nbd.sock')
  return { socket, tcp: address === undefined ? undefined : { address, port, tls } }
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}

function shown(value: unknown): string {
  const text = typeof value === 'number' ? String(value) : JSON.stringify(value)
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`
}

function deepFreeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) {
    if (typeof part === 'object' && part !== null) deepFreeze(part as object)
  }
  return Object.freeze(value)
}
