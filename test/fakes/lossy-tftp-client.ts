import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { decodeTftp, encodeTftp, type TftpPacket } from '../../src/netboot/tftp/packet.js'

/** How the client behaves; `isLost` is asked for every packet received or sent. */
export interface LossyClientOptions {
  readonly host: string
  readonly port: number
  readonly filename: string
  readonly options?: ReadonlyMap<string, string>
  readonly isLost?: () => boolean
  /** Sends every ACK twice. */
  readonly doublesAcks?: boolean
  /** Takes the data in order; the result then has none. For files larger than memory. */
  readonly sink?: (data: Uint8Array) => void
}

/** What came: the whole file, or the server's ERROR. */
export type LossyClientResult =
  | { readonly data: Buffer; readonly accepted: ReadonlyMap<string, string>; readonly packets: number }
  | { readonly error: number; readonly message: string }

/** Downloads one file with the rules of RFC 7440, losing packets both ways as told. */
export async function download(client: LossyClientOptions): Promise<LossyClientResult> {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const parts: Uint8Array[] = []
  const sink = client.sink ?? ((data: Uint8Array) => void parts.push(Buffer.from(data)))
  let received = 0
  const isLost = client.isLost ?? (() => false)
  let accepted: ReadonlyMap<string, string> = new Map()
  let peerPort = 0
  let packets = 0
  let inWindow = 0
  let hasTail = false
  let result: LossyClientResult | undefined
  const send = (packet: TftpPacket, port: number): void => {
    for (let i = 0; i < (client.doublesAcks === true ? 2 : 1); i++) {
      if (!isLost()) socket.send(encodeTftp(packet), port, client.host)
    }
  }
  const ack = (): void => {
    send({ op: 'ack', block: received & 0xffff }, peerPort)
  }
  const request = (): void => {
    send(
      { op: 'rrq', filename: client.filename, mode: 'octet', options: client.options ?? new Map() },
      client.port,
    )
  }
  const retry = setInterval(() => {
    if (peerPort === 0) request()
    else ack()
  }, 300)
  socket.on('message', (bytes, from) => {
    packets++
    if (result !== undefined || isLost() || (peerPort !== 0 && from.port !== peerPort)) return
    const packet = decodeTftp(bytes)
    if (packet.op === 'error') result = { error: packet.code, message: packet.message }
    if (from.port !== client.port) peerPort = from.port
    if (packet.op === 'oack') {
      accepted = packet.options
      if (received === 0) ack()
    }
    if (packet.op !== 'data') {
      done()
      return
    }
    if (packet.block !== ((received + 1) & 0xffff)) {
      inWindow = 0
      ack()
      return
    }
    sink(packet.data)
    received++
    hasTail = packet.data.length < Number(accepted.get('blksize') ?? 512)
    inWindow++
    if (hasTail || inWindow >= Number(accepted.get('windowsize') ?? 1)) {
      inWindow = 0
      ack()
    }
    if (hasTail) result = { data: Buffer.concat(parts), accepted, packets }
    done()
  })
  const done = (): void => {
    if (result !== undefined) socket.emit('finished')
  }
  request()
  await once(socket, 'finished')
  clearInterval(retry)
  socket.close()
  if (result === undefined) throw new Error('finished without a result')
  return result
}
