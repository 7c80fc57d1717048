import { parseMac } from '../../wire/mac.js'
import type { BondLink, NetworkLink } from './network.js'
import { checkInteger, refused, shown } from './refusal.js'

/** What every IPv4 host must take (RFC 791), what IPv6 needs (RFC 8200 §5), what jumbo-frame switches carry. */
const MTU = { min: 576, minIpv6: 1280, max: 9216 }
// The kernel's own bound is far above; what lies outside is a slip of the unit.
const MIIMON_MS = { min: 10, max: 10_000 }
const ID = /^[a-z][a-z0-9]{0,13}$/
// /proc/sys/net/ipv4/conf has these beside the interfaces; `lo` is one already.
const RESERVED = ['lo', 'all', 'default']

/** How kernels and udev name NICs: systemd.net-naming-scheme(7), and `eth0`, `ib0`, `usb0`, `wlan0`. */
const NIC_NAME = /^(?:eth|ib|usb|wlan|wwan)\d|^(?:en|ib|sl|wl|ww)[abcdiopsuvx][0-9a-f]/

/** Whether a guest may give this very name to some NIC by itself. */
export function isNicName(id: string): boolean {
  return NIC_NAME.test(id)
}

/** Checks what one link says by itself. @throws DaemonError INVALID_INPUT */
export function checkLink(link: NetworkLink, field: string): void {
  checkId(link, `${field}.id`)
  if (link.mac !== undefined) checkMac(link.mac, `${field}.mac`)
  if (link.mtu !== undefined) {
    checkInteger(link.mtu, `${field}.mtu`, MTU.min, MTU.max)
    if (link.ipv6.kind !== 'none' && link.mtu < MTU.minIpv6) {
      throw refused(`${field}.mtu`, `IPv6 needs at least ${MTU.minIpv6}, got ${link.mtu}`)
    }
  }
  if (link.kind === 'vlan') checkInteger(link.vlanId, `${field}.vlan_id`, 1, 4094)
  if (link.kind === 'bond') checkBondOptions(link, field)
}

function checkId({ id, kind }: NetworkLink, field: string): void {
  if (!ID.test(id)) {
    throw refused(field, `expected a letter and up to 13 letters or digits, all lower case, got ${shown(id)}`)
  }
  if (RESERVED.includes(id)) throw refused(field, `${shown(id)} means something else in every guest`)
  // A bond or VLAN gets its id as its name; a NIC never does when it could be another's.
  if (kind !== 'nic' && isNicName(id)) throw refused(field, `a guest may call one of its NICs ${shown(id)}`)
}

/** Refuses what is no MAC address of one NIC. @throws DaemonError INVALID_INPUT */
export function checkMac(text: string, field: string): void {
  const mac = parseMac(text)
  if (mac === undefined) throw refused(field, `expected a MAC address, got ${shown(text)}`)
  // The group bit (IEEE 802 §8.2): no NIC has such an address of its own.
  const isGroup = (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1
  if (isGroup || mac === '00:00:00:00:00:00') throw refused(field, `${mac} is no NIC's own address`)
}

function checkBondOptions({ mode, miimonMs, xmitHashPolicy, primary }: BondLink, field: string): void {
  if (miimonMs !== undefined) checkInteger(miimonMs, `${field}.miimon_ms`, MIIMON_MS.min, MIIMON_MS.max)
  if (xmitHashPolicy !== undefined && mode !== '802.3ad') {
    throw refused(`${field}.xmit_hash_policy`, `an ${mode} bond sends through one member, there is no choice`)
  }
  if (primary !== undefined && mode !== 'active-backup') {
    throw refused(`${field}.primary`, `in an ${mode} bond every member works`)
  }
}
