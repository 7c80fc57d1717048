import type { Socket } from 'node:net'
import type { TargetSpec } from '../export.js'
import type { TextPairs } from './text.js'

/** Who asks: an initiator, in a discovery session (`iqn` is '') or in one with a target. */
export interface Asker {
  readonly initiator: string
  readonly iqn: string
}

/** SendTargets (RFC 7143 appendix C): an initiator is shown its own targets and no other. */
export function sendTargets(
  targets: readonly TargetSpec[],
  asker: Asker,
  value: string,
  address: string,
): TextPairs {
  const isWanted = (spec: TargetSpec): boolean => {
    if (spec.initiatorIqn.toLowerCase() !== asker.initiator) return false
    return value === 'All' ? asker.iqn === '' : spec.iqn === (value === '' ? asker.iqn : value)
  }
  // The address may be left out for the portal asked, but libiscsi then shows no target at all.
  return targets
    .filter(isWanted)
    .flatMap((spec) => [['TargetName', spec.iqn] as const, ['TargetAddress', address] as const])
}

/** TargetAddress of the portal that `socket` came in by (RFC 7143 §13.8): IPv6 in brackets, portal group 1. */
export function portalAddress({ localAddress = '', localPort = 0 }: Socket): string {
  const host = localAddress.includes(':') ? `[${localAddress}]` : localAddress
  return `${host}:${localPort},1`
}
