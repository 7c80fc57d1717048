import { join } from 'node:path'
import { SOCKET_PATH_MAX_BYTES, type Values } from './config-schema.js'
import { isInSubnet, parseIpv4, parseSubnet, type Subnet } from './wire/ipv4.js'

/** One broken rule; rendered as `path: expected ..., got ...`. */
export interface Problem {
  /** Section and key, e.g. `subnet.pool_first`. */
  readonly path: string
  readonly expected: string
  readonly got: string
}

const NOTHING = 'nothing'

/**
 * The rules between keys.
 * @param broken paths that have a problem already: a second one of the same key is not told
 */
export function crossChecks(values: Values, broken: ReadonlySet<string>): Problem[] {
  const problems = [
    ...missing(values),
    ...outsideSubnet(values),
    ...pool(values),
    ...ports(values),
    ...sockets(values),
    ...nbdTls(values),
    ...nbdPort(values),
    ...tgtPaths(values),
    ...nbdWorkers(values),
  ]
  return problems.filter(({ path }, index) => {
    return !broken.has(path) && index === problems.findIndex((problem) => problem.path === path)
  })
}

function missing({ boot, subnet, target }: Values): Problem[] {
  const problems: Problem[] = []
  if (boot.enabled && boot.address === undefined) {
    const expected = 'the IPv4 address that machines reach this host at (or boot.enabled = false)'
    problems.push({ path: 'boot.address', expected, got: NOTHING })
  }
  if (boot.enabled && boot.dhcp && subnet.cidr === undefined) {
    const expected = 'the subnet that DHCP serves, such as 198.18.0.0/24 (or boot.dhcp = false)'
    problems.push({ path: 'subnet.cidr', expected, got: NOTHING })
  }
  if (!boot.enabled && boot.address === undefined && target.address === undefined) {
    const expected = 'the IPv4 address of the portal (there is no boot.address to take)'
    problems.push({ path: 'target.address', expected, got: NOTHING })
  }
  return problems
}

function outsideSubnet({ boot, subnet }: Values): Problem[] {
  const segment = parseSubnet(subnet.cidr ?? '')
  if (segment === undefined || !boot.enabled) return []
  const inside: Readonly<Record<string, string | undefined>> = {
    'boot.address': boot.address,
    'subnet.router': subnet.router,
    'subnet.pool_first': subnet.pool_first,
    'subnet.pool_last': subnet.pool_last,
  }
  return Object.entries(inside).flatMap(([path, value]) => {
    if (value === undefined || isHostOf(value, segment)) return []
    return [
      { path, expected: `the address of a host in subnet.cidr ${subnet.cidr ?? ''}`, got: `"${value}"` },
    ]
  })
}

function isHostOf(address: string, segment: Subnet): boolean {
  const number = parseIpv4(address) ?? 0
  return isInSubnet(number, segment) && number !== segment.network && number !== segment.broadcast
}

function pool({ boot, subnet }: Values): Problem[] {
  const { pool_first: first, pool_last: last } = subnet
  if (first === undefined && last === undefined) return []
  if (first === undefined)
    return [{ path: 'subnet.pool_first', expected: 'the start of the pool', got: NOTHING }]
  if (last === undefined) return [{ path: 'subnet.pool_last', expected: 'the end of the pool', got: NOTHING }]
  const [low, high] = [parseIpv4(first) ?? 0, parseIpv4(last) ?? 0]
  if (high < low)
    return [{ path: 'subnet.pool_last', expected: `an address from ${first} on`, got: `"${last}"` }]
  const reserved = { 'boot.address': boot.address, 'subnet.router': subnet.router }
  return Object.entries(reserved).flatMap(([path, value]) => {
    const number = parseIpv4(value ?? '')
    if (number === undefined || number < low || number > high) return []
    return [{ path, expected: `an address outside the pool ${first}..${last}`, got: `"${value ?? ''}"` }]
  })
}

/** The portal and HTTP boot are both TCP, DHCP and TFTP both UDP. */
function ports({ boot, target }: Values): Problem[] {
  if (!boot.enabled) return []
  const problems: Problem[] = []
  const hasOneAddress = (target.address ?? boot.address) === boot.address
  if (hasOneAddress && target.port !== 0 && target.port === boot.http_port) {
    problems.push({
      path: 'target.port',
      expected: 'another port than boot.http_port',
      got: String(target.port),
    })
  }
  if (boot.dhcp && boot.tftp && boot.tftp_port !== 0 && boot.tftp_port === boot.dhcp_port) {
    problems.push({
      path: 'boot.tftp_port',
      expected: 'another port than boot.dhcp_port',
      got: String(boot.tftp_port),
    })
  }
  return problems
}

/** NBD itself asks nobody who he is: beyond this host it is TLS or nothing. */
function nbdTls({ nbd }: Values): Problem[] {
  const { address, tls_certificate_file: certificate, tls_key_file: key, tls_client_ca_file: ca } = nbd
  const isRemote = address !== undefined && !address.startsWith('127.')
  const isWished = isRemote || certificate !== undefined || key !== undefined || ca !== undefined
  if (!isWished) return []
  const why = isRemote ? `nbd.address ${address} is no loopback address` : 'TLS takes both'
  const files = { 'nbd.tls_certificate_file': certificate, 'nbd.tls_key_file': key }
  return Object.entries(files).flatMap(([path, file]) => {
    return file === undefined ? [{ path, expected: `a PEM file (${why})`, got: NOTHING }] : []
  })
}

function nbdPort({ boot, target, nbd }: Values): Problem[] {
  const isShared = nbd.address !== undefined && nbd.address === (target.address ?? boot.address)
  if (!isShared || nbd.port === 0 || nbd.port !== target.port) return []
  return [{ path: 'nbd.port', expected: 'another port than target.port', got: String(nbd.port) }]
}

/** tgtd is told paths in a list of values with commas between them. */
function tgtPaths({ '': top, target }: Values): Problem[] {
  if (target.driver !== 'tgt' || !top.state_dir.includes(',')) return []
  const expected = 'a path without a comma (target.driver is "tgt")'
  return [{ path: 'state_dir', expected, got: JSON.stringify(top.state_dir) }]
}

/** A TLS connection cannot be handed from one process to another. */
function nbdWorkers({ target, nbd }: Values): Problem[] {
  if (target.workers === 1 || nbd.address === undefined || nbd.tls_certificate_file === undefined) return []
  const expected = '1, since nbd.address is served with TLS'
  return [{ path: 'target.workers', expected, got: String(target.workers) }]
}

function sockets({ '': top, api, target }: Values): Problem[] {
  const hasDefault = api.socket === undefined || target.control_socket === undefined
  const longest = join(top.run_dir, 'targetd.sock')
  if (!hasDefault || Buffer.byteLength(longest) <= SOCKET_PATH_MAX_BYTES) return []
  const expected = `a path short enough for a socket in it (${SOCKET_PATH_MAX_BYTES} bytes)`
  return [{ path: 'run_dir', expected, got: `${Buffer.byteLength(longest)} bytes with /targetd.sock` }]
}
