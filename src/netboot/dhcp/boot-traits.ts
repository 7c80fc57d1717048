import { macFromBytes } from '../../wire/mac.js'
import type { BootClient } from '../boot-client.js'
import { MESSAGE, type DhcpPacket } from './codec.js'
import type { Options } from './options.js'

const UUID_OPTION_BYTES = 17

/** The client's MAC, or undefined when the hardware address is not a station's 48-bit one. */
export function clientMac(request: DhcpPacket): string | undefined {
  const [first = 0] = request.chaddr
  if (request.chaddr.length !== 6 || (first & 1) !== 0 || request.chaddr.every((byte) => byte === 0))
    return undefined
  return macFromBytes(request.chaddr)
}

/** What a request tells about the firmware (or loader, or system) that sent it. */
export function bootClient(mac: string, options: Options): BootClient {
  const userClass = firstUserClass(options.userClass)
  const uuid = clientUuid(options.clientUuid)
  return {
    mac,
    arch: options.clientArch?.[0],
    // iPXE's user class is bare text; builds that follow RFC 3004 count it. Old ones are known by 175 alone.
    isIpxe: userClass === 'iPXE' || options.ipxe !== undefined,
    isHttpClient: options.vendorClass?.startsWith('HTTPClient') ?? false,
    isPxeClient: options.vendorClass?.startsWith('PXEClient') ?? false,
    hasIpxeOption: options.ipxe !== undefined,
    isDiscover: options.messageType === MESSAGE.DISCOVER,
    ...(options.vendorClass !== undefined && { vendorClass: options.vendorClass }),
    ...(userClass !== undefined && { userClass }),
    ...(uuid !== undefined && { uuid }),
  }
}

// RFC 3004 §4 counts each class; iPXE (and gPXE) send the text alone.
function firstUserClass(value: Uint8Array | undefined): string | undefined {
  if (value === undefined || value.length === 0) return undefined
  const whole = Buffer.from(value)
  const [count = 0] = whole
  return isCountedList(whole) ? whole.toString('latin1', 1, 1 + count) : whole.toString('latin1')
}

function isCountedList(value: Uint8Array): boolean {
  let at = 0
  while (at < value.length) {
    const count = value[at] ?? 0
    if (count === 0) return false
    at += 1 + count
  }
  return at === value.length
}

// All zeros is what OVMF without a configured UUID sends: nobody's name.
function clientUuid(value: Uint8Array | undefined): string | undefined {
  if (value?.length !== UUID_OPTION_BYTES || value[0] !== 0) return undefined
  const uuid = value.subarray(1)
  return uuid.every((byte) => byte === 0) ? undefined : Buffer.from(uuid).toString('hex')
}
