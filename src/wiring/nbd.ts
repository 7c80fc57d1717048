import { readFileSync } from 'node:fs'
import type { NbdConfig, NbdTlsFiles } from '../config.js'
import { DaemonError } from '../errors.js'
import { NbdServer } from '../rootdisk/nbd/nbd-server.js'
import type { NbdServerDeps } from '../rootdisk/nbd/server-core.js'
import type { TlsIdentity } from '../rootdisk/nbd/tls-upgrade.js'

/**
 * The NBD server as configured; without a socket it has the clients that it is handed.
 * @throws DaemonError CONFIG_INVALID when a certificate or key cannot be read
 */
export function nbdServer({ socket, tcp }: Partial<NbdConfig>, deps: NbdServerDeps): NbdServer {
  if (socket === undefined) return new NbdServer({}, deps)
  if (tcp === undefined) return new NbdServer({ socketPath: socket }, deps)
  const tls = tcp.tls === undefined ? {} : { tls: identity(tcp.tls) }
  return new NbdServer({ socketPath: socket, tcp: { host: tcp.address, port: tcp.port, ...tls } }, deps)
}

function identity({ certificate, key, clientCa }: NbdTlsFiles): TlsIdentity {
  const own = { certificate: pem('tls_certificate_file', certificate), key: pem('tls_key_file', key) }
  return clientCa === undefined ? own : { ...own, clientCa: pem('tls_client_ca_file', clientCa) }
}

function pem(name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (err) {
    const reason = err instanceof Error ? err.message : String(err)
    throw new DaemonError('CONFIG_INVALID', `nbd.${name}: expected a readable file, got ${reason}`, {
      cause: err,
    })
  }
}
