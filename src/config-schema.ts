import { parseIpv4, parseSubnet } from './wire/ipv4.js'

/** One broken rule; rendered as `path: expected ..., got ...`. */
export interface Problem {
  /** Section and key, e.g. `subnet.pool_first`. */
  readonly path: string
  readonly expected: string
  readonly got: string
}

/** What one value must be; `read` gives undefined for anything else. */
export interface Rule<T> {
  /** Completes "expected ...". */
  readonly expected: string
  read(value: unknown): T | undefined
}

/** One key of the file: its rule, and what holds when it is absent. */
export interface Key<T> {
  readonly rule: Rule<T>
  readonly fallback: T
}

/** A classless route as the file has it: a subnet and the address of its router. */
export interface RouteText {
  readonly to: string
  readonly via: string
}

const GIB = 2 ** 30
/** Where Debian puts iPXE, shim and the signed GRUB. */
const LOADER_DIRS = ['/usr/lib/ipxe', '/usr/lib/shim', '/usr/lib/grub/x86_64-efi-signed']
const DAY_SECONDS = 86_400
/** sun_path of Linux is 108 bytes with its NUL (unix(7)). */
export const SOCKET_PATH_MAX_BYTES = 107

const flag: Rule<boolean> = {
  expected: 'true or false',
  read: (value) => (typeof value === 'boolean' ? value : undefined),
}

const absolutePath = text('an absolute path', (path) => path.startsWith('/') && !path.includes('\0'))

const socketPath = text(
  `an absolute path of at most ${SOCKET_PATH_MAX_BYTES} bytes`,
  (path) => path.startsWith('/') && !path.includes('\0') && Buffer.byteLength(path) <= SOCKET_PATH_MAX_BYTES,
)

/** A host's own address: not 0.0.0.0/8, not multicast and above. */
const address = text('the IPv4 address of a host, such as 198.18.0.1', (value) => {
  const number = parseIpv4(value)
  return number !== undefined && number >= 0x01000000 && number < 0xe0000000
})

const cidr = text('an IPv4 subnet without host bits, /8../30, such as 198.18.0.0/24', (value) => {
  const prefixLength = parseSubnet(value)?.prefixLength
  return prefixLength !== undefined && prefixLength >= 8 && prefixLength <= 30
})

/** `ip route`'s words; the router is checked against the subnet elsewhere. */
const route: Rule<RouteText> = {
  expected: 'a route such as "10.0.0.0/8 via 198.18.0.254"',
  read(value) {
    const [to = '', via = ''] = typeof value === 'string' ? value.split(' via ') : []
    const isRoute = parseSubnet(to) !== undefined && address.read(via) !== undefined
    return isRoute ? { to, via } : undefined
  },
}

/** A DNS name (RFC 1035 §2.3.1), the length of its labels included. */
const domain = text(
  'a domain name such as "boot.example.org"',
  (name) => name.length <= 253 && /^(?!-)[a-z0-9-]{1,63}(?:\.(?!-)[a-z0-9-]{1,63})*$/i.test(name),
)

/** What a seed takes as one (firstboot/seed, checkSeedInput). */
const zone = text('1..64 letters, digits, dots, underscores or hyphens, first a letter or digit', (name) =>
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name),
)

/** Linux's IFNAMSIZ is 16 with its NUL. */
const interfaceName = text('the name of a network interface', (name) => /^[^\s/:]{1,15}$/.test(name))

const group = text('the name of a group', (value) => /^[a-z_][a-z0-9_-]{0,31}$/.test(value))

/** 0 is any free port: for tests. */
const port = integer(0, 65_535)

/** Every key that the file may have, by section; the section '' is the top of the file. */
export const SCHEMA = {
  '': {
    state_dir: key(absolutePath, '/var/lib/ingot'),
    run_dir: key(absolutePath, '/run/ingot'),
    log_level: key(oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'), 'info'),
    unknown_machines: key(oneOf('ignore', 'address'), 'ignore'),
    availability_zone: optional(zone),
  },
  api: {
    socket: optional(socketPath),
    group: optional(group),
  },
  boot: {
    enabled: key(flag, true),
    address: optional(address),
    http_port: key(port, 8080),
    dhcp: key(flag, true),
    dhcp_port: key(port, 67),
    pxe_port: key(port, 4011),
    tftp: key(flag, true),
    tftp_port: key(port, 69),
    loader_dirs: key(listOf(absolutePath), [...LOADER_DIRS]),
  },
  subnet: {
    cidr: optional(cidr),
    mode: key(oneOf('authoritative', 'proxy', 'off'), 'authoritative'),
    address: optional(address),
    interface: optional(interfaceName),
    relayed: key(flag, false),
    router: optional(address),
    dns: key(listOf(address), []),
    ntp: key(listOf(address), []),
    domain_search: key(listOf(domain), []),
    mtu: optional(integer(576, 9216)),
    routes: key(listOf(route), []),
    pool_first: optional(address),
    pool_last: optional(address),
    lease_seconds: key(integer(60, 30 * DAY_SECONDS), 3600),
    router_advertisement: key(flag, false),
  },
  metadata: {
    enabled: optional(flag),
    address: key(address, '169.254.169.254'),
    port: key(port, 80),
  },
  target: {
    driver: key(oneOf('embedded', 'tgt'), 'embedded'),
    tgt_socket: key(socketPath, '/var/run/tgtd/socket.0'),
    address: optional(address),
    port: key(port, 3260),
    control_socket: optional(socketPath),
    managed: key(flag, true),
    cache_size_bytes: key(integer(0, 1024 * GIB), GIB / 2),
    io_threads: key(integer(1, 64), 4),
    workers: key(integer(1, 64), 1),
  },
  nbd: {
    enabled: key(flag, true),
    socket: optional(socketPath),
    address: optional(address),
    port: key(port, 10_809),
    tls_certificate_file: optional(absolutePath),
    tls_key_file: optional(absolutePath),
    tls_client_ca_file: optional(absolutePath),
  },
  image: {
    cache_dir: optional(absolutePath),
    max_size_bytes: key(integer(1, 1024 * 1024 * GIB), 1024 * GIB),
    convert_timeout_seconds: key(integer(1, DAY_SECONDS), 1800),
    convert_memory_bytes: key(integer(GIB / 16, 1024 * GIB), GIB),
  },
}

/** The name of a section, '' for the top of the file. */
export type SectionName = keyof typeof SCHEMA

type KeyValue<K> = K extends Key<infer T> ? T : never

/** The values of one section by the file's own names, defaults filled in. */
export type SectionValues<S extends SectionName> = {
  readonly [K in keyof (typeof SCHEMA)[S]]: KeyValue<(typeof SCHEMA)[S][K]>
}

/** One `[subnet]` or `[[subnet]]`; `path` names it in messages: `subnet`, or `subnet[1]` from 0. */
export type SubnetValues = SectionValues<'subnet'> & { readonly path: string }

/** The file's values by the file's own names, defaults filled in. */
export type Values = { readonly [S in Exclude<SectionName, 'subnet'>]: SectionValues<S> } & {
  readonly subnet: readonly SubnetValues[]
}

function key<T>(rule: Rule<T>, fallback: NoInfer<T>): Key<T> {
  return { rule, fallback }
}

function optional<T>(rule: Rule<T>): Key<T | undefined> {
  return { rule, fallback: undefined }
}

function text(expected: string, isValid: (value: string) => boolean): Rule<string> {
  return { expected, read: (value) => (typeof value === 'string' && isValid(value) ? value : undefined) }
}

function integer(min: number, max: number): Rule<number> {
  const isValid = (value: unknown): value is number => Number.isSafeInteger(value) // narrows
  return {
    expected: `an integer ${min}..${max}`,
    read: (value) => (isValid(value) && value >= min && value <= max ? value : undefined),
  }
}

function oneOf<const T extends string>(...words: T[]): Rule<T> {
  return {
    expected: `one of ${words.map((word) => `"${word}"`).join(', ')}`,
    read: (value) => words.find((word) => word === value),
  }
}

function listOf<T>(rule: Rule<T>): Rule<readonly T[]> {
  return {
    expected: `an array, each of it ${rule.expected}`,
    read(value) {
      if (!Array.isArray(value)) return undefined
      const read = value.map((item: unknown) => rule.read(item)).filter((item) => item !== undefined)
      return read.length === value.length ? read : undefined
    },
  }
}
