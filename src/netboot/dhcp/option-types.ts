import { MalformedPacket } from '../../wire/malformed-packet.js'
import { ByteReader } from '../../wire/reader.js'
import type { ByteWriter } from '../../wire/writer.js'

/** A DNS name has at most 127 labels (RFC 1035 §2.3.4 in bytes). */
const MAX_LABELS = 128

/** How the value of one kind of option is read (from a reader that holds just this value) and written. */
export interface OptionType<T> {
  readonly decode: (reader: ByteReader) => T
  readonly encode: (writer: ByteWriter, value: T) => void
}

/** One row of option 121: `destination` and `router` are unsigned 32-bit addresses. */
export interface ClasslessRoute {
  readonly destination: number
  readonly prefixLength: number
  readonly router: number
}

/** Unsigned 8 bits. */
export const u8: OptionType<number> = {
  decode: (reader) => reader.u8(),
  encode: (writer, value) => writer.u8(value),
}

/** Unsigned 16 bits. */
export const u16: OptionType<number> = {
  decode: (reader) => reader.u16(),
  encode: (writer, value) => writer.u16(value),
}

/** A time span in seconds, unsigned 32 bits. */
export const seconds: OptionType<number> = {
  decode: (reader) => reader.u32(),
  encode: (writer, value) => writer.u32(value),
}

/** One IPv4 address, an unsigned 32-bit number. */
export const ip: OptionType<number> = seconds

/** IPv4 addresses, each an unsigned 32-bit number. */
export const ips: OptionType<readonly number[]> = listOf(ip)

/** Unsigned 16-bit numbers. */
export const u16s: OptionType<readonly number[]> = listOf(u16)

/** Text as latin1, so that any bytes survive; trailing NULs (old clients count them in) are dropped. */
export const text: OptionType<string> = {
  decode: (reader) => withoutNuls(latin1(reader.rest())),
  encode: (writer, value) => writer.text(value, 'latin1'),
}

/** Opaque bytes: decoding gives a copy. At most 255, so that an echo never starves the rest of a reply. */
export const bytes: OptionType<Uint8Array> = {
  decode(reader) {
    if (reader.remaining > 255) throw new MalformedPacket('DHCP option', 255, 'more than 255 bytes')
    return new Uint8Array(reader.rest())
  },
  encode: (writer, value) => writer.put(value),
}

/** RFC 3442: prefix length, the significant bytes of the destination, the router; repeated. */
export const classlessRoutes: OptionType<readonly ClasslessRoute[]> = {
  decode(reader) {
    const routes: ClasslessRoute[] = []
    while (reader.remaining > 0) routes.push(decodeRoute(reader))
    return routes
  },
  encode(writer, routes) {
    for (const { destination, prefixLength, router } of routes) {
      writer.u8(prefixLength)
      for (let i = 0; i < Math.ceil(prefixLength / 8); i++) writer.u8((destination >>> (24 - 8 * i)) & 0xff)
      writer.u32(router)
    }
  },
}

/** RFC 3397: DNS names as labels (RFC 1035 §4.1.4); compression is understood, never written. */
export const domains: OptionType<readonly string[]> = {
  decode(reader) {
    if (reader.remaining > 1024) throw new MalformedPacket('DHCP domain list', 1024, 'more than 1024 bytes')
    const all = reader.rest()
    const names: string[] = []
    for (let at = 0; at < all.length;) {
      const { name, end } = decodeName(all, at)
      names.push(name)
      at = end
    }
    return names
  },
  encode(writer, names) {
    for (const name of names) {
      for (const label of name.split('.').filter((part) => part !== '')) {
        const encoded = Buffer.from(label, 'latin1').subarray(0, 63)
        writer.u8(encoded.length).put(encoded)
      }
      writer.u8(0)
    }
  },
}

function latin1(view: Uint8Array): string {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString('latin1')
}

function withoutNuls(text: string): string {
  return text.endsWith('\0') ? text.replace(/\0+$/, '') : text
}

function listOf<T>(one: OptionType<T>): OptionType<readonly T[]> {
  return {
    decode(reader) {
      const list: T[] = []
      while (reader.remaining > 0) list.push(one.decode(reader))
      return list
    },
    encode(writer, list) {
      for (const value of list) one.encode(writer, value)
    },
  }
}

function decodeRoute(reader: ByteReader): ClasslessRoute {
  const prefixLength = reader.u8()
  if (prefixLength > 32) throw new MalformedPacket('DHCP route', reader.offset, 'prefix longer than 32')
  const significant = reader.take(Math.ceil(prefixLength / 8))
  let destination = 0
  for (let i = 0; i < 4; i++) destination = destination * 256 + (significant[i] ?? 0)
  return { destination, prefixLength, router: reader.u32() }
}

function decodeName(all: Uint8Array, start: number): { name: string; end: number } {
  const labels: string[] = []
  let reader = new ByteReader(all.subarray(start), 'DHCP domain list')
  let origin = start // where the run of labels being read began: a pointer must go before it, so this ends
  let end: number | undefined
  for (let left = MAX_LABELS; left > 0; left--) {
    const length = reader.u8()
    if (length === 0) return { name: labels.join('.'), end: end ?? origin + reader.offset }
    if (length < 64) {
      labels.push(Buffer.from(reader.take(length)).toString('latin1'))
      continue
    }
    const target = (length & 0x3f) * 256 + reader.u8()
    if (length < 192 || target >= origin) {
      throw new MalformedPacket('DHCP domain list', origin, 'label is neither text nor a pointer back')
    }
    end ??= origin + reader.offset
    origin = target
    reader = new ByteReader(all.subarray(target), 'DHCP domain list')
  }
  throw new MalformedPacket('DHCP domain list', start, `more than ${MAX_LABELS} labels and pointers`)
}
