import type { Socket } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'

/** PEM texts of a server that speaks TLS; with `clientCa`, only clients whose certificate it signed are let in. */
export interface TlsIdentity {
  readonly certificate: string
  readonly key: string
  readonly clientCa?: string
}

/**
 * The server's side of TLS on a connection that spoke in clear so far (STARTTLS).
 * Rejects when the handshake fails; the socket is then destroyed.
 */
export function startServerTls(socket: Socket, identity: TlsIdentity): Promise<TLSSocket> {
  const { certificate: cert, key, clientCa: ca } = identity
  return new Promise((resolve, reject) => {
    // A server that never listens: it checks the client's certificate as node:tls does for any other.
    const clients = ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true }
    const server = createServer({ cert, key, ...clients })
    server.once('secureConnection', resolve)
    server.once('tlsClientError', (err) => {
      socket.destroy()
      reject(err)
    })
    socket.once('close', () => reject(new Error('the client went away during its TLS handshake')))
    server.emit('connection', socket)
  })
}
