import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'

/** What a bad network does to datagrams, each of 0 to 1; the same seed does the same. */
export interface BadNetwork {
  readonly seed: number
  readonly lost: number
  readonly doubled: number
  /** Swapped with the datagram behind it, or late when there is none. */
  readonly swapped: number
}

/** A way to a TFTP server that loses, doubles and swaps datagrams; `port` is asked instead of the server's. */
export interface LossyNetwork {
  readonly port: number
  readonly counts: { readonly lost: number; readonly doubled: number; readonly swapped: number }
  close(): void
}

const HOST = '127.0.0.1'
const LATE_MS = 20

/**
 * Stands between clients and the TFTP server on `serverPort`: each request gets a pair of sockets of its own, so that
 * ports mean what they mean without it. (The kernel's netem does the same, where there is one.)
 */
export async function lossyNetwork(serverPort: number, bad: BadNetwork): Promise<LossyNetwork> {
  const counts = { lost: 0, doubled: 0, swapped: 0 }
  const sockets: Socket[] = []
  const random = seeded(bad.seed)
  const open = async (): Promise<Socket> => {
    const socket = createSocket('udp4')
    socket.bind(0, HOST)
    await once(socket, 'listening')
    sockets.push(socket)
    return socket
  }
  const spoil = (send: (bytes: Buffer) => void): ((bytes: Buffer) => void) => {
    const held: Buffer[] = []
    const release = (): void => {
      for (const bytes of held.splice(0)) send(bytes)
    }
    return (bytes) => {
      const fate = random()
      if (fate < bad.lost) counts.lost++
      else if (fate < bad.lost + bad.swapped) {
        counts.swapped++
        held.push(bytes)
        setTimeout(release, LATE_MS)
      } else {
        send(bytes)
        release()
        if (fate < 1 - bad.doubled) return
        counts.doubled++
        send(bytes)
      }
    }
  }
  const front = await open()
  const known = new Map<string, Promise<Socket>>()
  const relay = async (client: RemoteInfo): Promise<Socket> => {
    const [toClient, toServer] = [await open(), await open()]
    let serverTid = serverPort
    toServer.on('message', (bytes, from) => {
      serverTid = from.port
      down(bytes)
    })
    const down = spoil((bytes) => deliver(toClient, bytes, client.port))
    const up = spoil((bytes) => deliver(toServer, bytes, serverTid))
    toClient.on('message', up)
    return toServer
  }
  front.on('message', (bytes, from) => {
    const key = String(from.port)
    const socket = known.get(key) ?? relay(from)
    known.set(key, socket)
    void socket.then((toServer) => {
      deliver(toServer, bytes, serverPort) // a request is not lost: clients wait five seconds before the next
    })
  })
  return {
    port: front.address().port,
    counts,
    close: () => {
      for (const socket of sockets.splice(0)) socket.close()
    },
  }
}

function deliver(socket: Socket, bytes: Buffer, port: number): void {
  try {
    socket.send(bytes, port, HOST)
  } catch (err) {
    if (!(err instanceof Error && 'code' in err && err.code === 'ERR_SOCKET_DGRAM_NOT_RUNNING')) throw err
    // late, after close()
  }
}

/** Park and Miller's generator, 0 to 1. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}
