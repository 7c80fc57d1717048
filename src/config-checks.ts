import { join } from 'node:path'
import { SOCKET_PATH_MAX_BYTES, type Problem, type Values } from './config-schema.js'
import { subnetConfigs, subnetProblems } from './config-subnets.js'

const NOTHING = 'nothing'

/**
 * The rules between keys.
 * @param broken paths that have a problem already: a second one of the same key is not told
 */
export function crossChecks(values: Values, broken: ReadonlySet<string>): Problem[] {
  const problems = [
    ...missing(values),
    ...subnetProblems(values),
    ...ports(values),
    ...sockets(values),
    ...nbdTls(values),
    ...nbdPort(values),
    ...metadata(values),
    ...tgtPaths(values),
    ...nbdWorkers(values),
  ]
  return problems.filter(({ path }, index) => {
    return !broken.has(path) && index === problems.findIndex((problem) => problem.path === path)
  })
}

function missing({ boot, target }: Values): Problem[] {
  const problems: Problem[] = []
  if (boot.enabled && boot.address === undefined) {
    const expected = 'the IPv4 address that machines reach this host at (or boot.enabled = false)'
    problems.push({ path: 'boot.address', expected, got: NOTHING })
  }
  if (!boot.enabled && boot.address === undefined && target.address === undefined) {
    const expected = 'the IPv4 address of the portal (there is no boot.address to take)'
    problems.push({ path: 'target.address', expected, got: NOTHING })
  }
  return problems
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
  return [...problems, ...udpPorts(boot)]
}

function udpPorts({ dhcp, dhcp_port, tftp, tftp_port, pxe_port }: Values['boot']): Problem[] {
  const used: [string, number][] = [
    ...(dhcp ? [['boot.dhcp_port', dhcp_port] as [string, number]] : []),
    ...(tftp ? [['boot.tftp_port', tftp_port] as [string, number]] : []),
    ...(dhcp ? [['boot.pxe_port', pxe_port] as [string, number]] : []),
  ]
  return used.flatMap(([path, port], index) => {
    const other = used.slice(0, index).find(([, before]) => before !== 0 && before === port)
    return other === undefined ? [] : [{ path, expected: `another port than ${other[0]}`, got: String(port) }]
  })
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

/** Whoever is served is known by his address in a subnet. */
function metadata(values: Values): Problem[] {
  const { boot, target, metadata: wished } = values
  if (wished.enabled === false) return []
  if (subnetConfigs(values).length === 0) {
    const expected = 'false, since there is no subnet whose servers could ask'
    return wished.enabled === undefined ? [] : [{ path: 'metadata.enabled', expected, got: 'true' }]
  }
  const used: [string, string | undefined, number][] = [
    ['boot.http_port', boot.address, boot.http_port],
    ['target.port', target.address ?? boot.address, target.port],
  ]
  return used.flatMap(([other, address, port]) => {
    const isShared = address === wished.address && port === wished.port && port !== 0
    return isShared
      ? [{ path: 'metadata.port', expected: `another port than ${other}`, got: String(port) }]
      : []
  })
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
