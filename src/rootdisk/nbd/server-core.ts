import type { Socket } from 'node:net'
import type { Logger } from 'pino'
import type { Clock } from '../../clock.js'
import type { EmitEvent } from '../../events.js'
import { BufferPool } from '../iscsi/buffer-pool.js'
import { SlabPool } from '../iscsi/output.js'
import type { NbdDirectory } from './export-directory.js'
import type { HandedClient } from './handover.js'

/** What a server is made with. */
export interface NbdServerDeps {
  readonly exports: NbdDirectory
  readonly emit: EmitEvent
  readonly clock: Clock
  readonly log: Logger
  /** Memory that reads and writes use again and again, at most 64 MiB; by default Node's. */
  readonly allocate?: ((sizeBytes: number) => Buffer) | undefined
  /**
   * Clients are served elsewhere, once they have negotiated: takes a socket that is read no further. The socket is
   * closed here when that is done. @throws when nobody takes it
   */
  readonly handOver?: (client: HandedClient, socket: Socket) => Promise<void>
}

/** Write data kept for reuse. */
const WRITE_MEMORY_BYTES = 32 << 20

/** A client, as the server sees it. */
export interface NbdPeer {
  readonly remoteAddress: string
  /** Set with the transmission phase. */
  readonly exportName: string | undefined
  /** Set with the transmission phase. */
  readonly exportId: string | undefined
  /**
   * Answers what was begun, then closes. Resolves when the export is let go.
   * @param isGone the export is no more, and requests that come are told so; else they are left unanswered, so that
   *   a client that comes back asks again instead of giving its guest an error
   */
  end(isGone: boolean): Promise<void>
}

/** What the connections of a server share: memory and its voice. */
export class ServerCore {
  readonly exports: NbdDirectory
  readonly clock: Clock
  readonly negotiationTimeoutMs: number
  readonly handOver: NbdServerDeps['handOver']
  /** Shared by all connections: bytes are used up before the next read event. */
  readonly receiveBuffer = Buffer.allocUnsafeSlow(262_144)
  readonly slabs: SlabPool
  readonly buffers: BufferPool
  readonly connections = new Set<NbdPeer>()
  readonly #deps: NbdServerDeps

  constructor(deps: NbdServerDeps, negotiationTimeoutMs: number) {
    this.#deps = deps
    this.exports = deps.exports
    this.slabs = new SlabPool(deps.allocate)
    this.buffers = new BufferPool(WRITE_MEMORY_BYTES, deps.allocate)
    this.clock = deps.clock
    this.handOver = deps.handOver
    this.negotiationTimeoutMs = negotiationTimeoutMs
  }

  attached({ remoteAddress }: NbdPeer, name: string): void {
    const message = `${remoteAddress} attached the export ${name}`
    this.#deps.emit({ kind: 'nbd.attached', message, ...addressOf(remoteAddress) })
  }

  protocolError({ remoteAddress }: NbdPeer, reason: string): void {
    const message = `NBD connection of ${remoteAddress} closed: ${reason}`
    this.#deps.emit({ kind: 'nbd.protocol-error', message, ...addressOf(remoteAddress) })
  }

  fault(err: unknown): void {
    this.#deps.log.error({ err }, 'NBD request failed inside the target')
  }

  left(connection: NbdPeer): void {
    this.connections.delete(connection)
  }
}

/** A client of a Unix socket has no address. */
function addressOf(remoteAddress: string): { ip?: string } {
  return remoteAddress.includes(' ') ? {} : { ip: remoteAddress }
}
