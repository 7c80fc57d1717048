import { createHash } from 'node:crypto'
import { macFromBytes } from '../../wire/mac.js'
import type { BootClient } from '../boot-client.js'
import { HTYPE_INFINIBAND, MESSAGE, type DhcpPacket } from './codec.js'
import type { Options } from './options.js'

const UUID_OPTION_BYTES = 17
/** A GUID, one after a type byte, and a whole address (QPN and GID) after one. */
const GUID_LENGTHS = [8, 9, 21]
/** RFC 4361 with IAID 0 and an enterprise DUID, before the GUID: what Mellanox had dhclient send. */
const MELLANOX_ID = Buffer.from('ff000000000002000002c900', 'hex')
const LOCALLY_ADMINISTERED = 0x02

/**
 * Who asks, as a MAC: the address of its Ethernet card whatever client id it sends (PXE ROM, iPXE and the system send
 * three), or a name of the same form for InfiniBand. Undefined when the hardware address is no station's.
 */
export function clientMac(request: DhcpPacket): string | undefined {
  if (request.htype === HTYPE_INFINIBAND) return infinibandName(request)
  const [first = 0] = request.chaddr
  if (request.chaddr.length !== 6 || (first & 1) !== 0 || request.chaddr.every((byte) => byte === 0))
    return undefined
  return macFromBytes(request.chaddr)
}

/**
 * RFC 4390 §2.1: the client id is all there is to know an InfiniBand port by. Where it ends in the port's GUID (iPXE,
 * dhclient, the address itself) the name is the Ethernet-like MAC that iPXE shows: the GUID without its middle.
 */
function infinibandName({ chaddr, options }: DhcpPacket): string | undefined {
  const id = options.clientId ?? chaddr
  if (id.length === 0 || id.every((byte) => byte === 0)) return undefined
  const guid = GUID_LENGTHS.includes(id.length) || isMellanoxId(id) ? id.subarray(-8) : undefined
  if (guid !== undefined) return macFromBytes(Uint8Array.of(...guid.subarray(0, 3), ...guid.subarray(5)))
  const digest = createHash('sha256').update(id).digest()
  return macFromBytes(Uint8Array.of(LOCALLY_ADMINISTERED, ...digest.subarray(0, 5)))
}

function isMellanoxId(id: Uint8Array): boolean {
  return id.length === 20 && Buffer.from(id).subarray(0, 12).equals(MELLANOX_ID)
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
