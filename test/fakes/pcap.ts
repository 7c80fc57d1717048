import { readFileSync } from 'node:fs'
import { ByteReader } from '../../src/wire/reader.js'

const MAGIC_LITTLE_ENDIAN = 0xd4c3b2a1
const ETHERTYPE_IPV4 = 0x0800
const PROTOCOL_UDP = 17

/** A UDP datagram out of a capture; addresses are unsigned 32-bit numbers. */
export interface CapturedUdp {
  readonly from: number
  readonly fromPort: number
  readonly to: number
  readonly toPort: number
  readonly payload: Uint8Array
}

/** The unfragmented UDP/IPv4 datagrams of a little-endian classic pcap of Ethernet frames, in order. */
export function readPcap(file: string | URL): CapturedUdp[] {
  const reader = new ByteReader(readFileSync(file), 'pcap')
  if (reader.u32() !== MAGIC_LITTLE_ENDIAN) throw new Error(`${String(file)} is no little-endian pcap`)
  reader.skip(20)
  const found: CapturedUdp[] = []
  while (reader.remaining > 0) {
    reader.skip(8)
    const length = littleEndian(reader.take(4))
    reader.skip(4)
    const udp = udpOf(reader.take(length))
    if (udp !== undefined) found.push(udp)
  }
  return found
}

function udpOf(frame: Uint8Array): CapturedUdp | undefined {
  const reader = new ByteReader(frame, 'frame')
  reader.skip(12)
  if (reader.u16() !== ETHERTYPE_IPV4) return undefined
  const headerBytes = (reader.u8() & 0x0f) * 4
  reader.skip(8)
  if (reader.u8() !== PROTOCOL_UDP) return undefined
  reader.skip(2)
  const [from, to] = [reader.u32(), reader.u32()]
  reader.skip(headerBytes - 20)
  const [fromPort, toPort, length] = [reader.u16(), reader.u16(), reader.u16()]
  reader.skip(2)
  return { from, fromPort, to, toPort, payload: reader.take(length - 8) }
}

function littleEndian(bytes: Uint8Array): number {
  return bytes.reduceRight((sum, byte) => sum * 256 + byte, 0)
}
