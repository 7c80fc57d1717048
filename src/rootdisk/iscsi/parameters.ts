/** What one session runs with once its login is done (RFC 7143 §13). */
export interface Parameters {
  /** What the initiator takes in one PDU. */
  peerMaxRecvDataSegmentLength: number
  /** What we declared to take; 8192 until we did. */
  maxRecvDataSegmentLength: number
  maxBurstLength: number
  firstBurstLength: number
  initialR2t: boolean
  immediateData: boolean
  headerDigest: boolean
  dataDigest: boolean
}

/** Largest data segment we take in one PDU. */
export const OUR_MAX_RECV = 262_144

/** Values that hold until negotiated (§13). */
export function defaultParameters(): Parameters {
  return {
    peerMaxRecvDataSegmentLength: 8192,
    maxRecvDataSegmentLength: 8192,
    maxBurstLength: 262_144,
    firstBurstLength: 65_536,
    initialR2t: true,
    immediateData: true,
    headerDigest: false,
    dataDigest: false,
  }
}

type Rule =
  | { readonly kind: 'minimum' | 'maximum'; readonly ours: number; readonly range: readonly [number, number] }
  | { readonly kind: 'and' | 'or'; readonly ours: boolean }
  | { readonly kind: 'list'; readonly ours: readonly string[] }
  | { readonly kind: 'declared'; readonly range?: readonly [number, number] }
  | { readonly kind: 'obsolete' }

const MAX_24_BITS = 0xffffff

/** Result functions of the operational keys (RFC 7143 §13, §6.2), one row each. */
const KEYS: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ['HeaderDigest', { kind: 'list', ours: ['CRC32C', 'None'] }],
  ['DataDigest', { kind: 'list', ours: ['CRC32C', 'None'] }],
  ['MaxConnections', { kind: 'minimum', ours: 1, range: [1, 65_535] }],
  ['InitialR2T', { kind: 'or', ours: false }],
  ['ImmediateData', { kind: 'and', ours: true }],
  ['MaxRecvDataSegmentLength', { kind: 'declared', range: [512, MAX_24_BITS] }],
  ['MaxBurstLength', { kind: 'minimum', ours: 1_048_576, range: [512, MAX_24_BITS] }],
  ['FirstBurstLength', { kind: 'minimum', ours: 262_144, range: [512, MAX_24_BITS] }],
  ['DefaultTime2Wait', { kind: 'maximum', ours: 0, range: [0, 3600] }],
  ['DefaultTime2Retain', { kind: 'minimum', ours: 0, range: [0, 3600] }],
  ['MaxOutstandingR2T', { kind: 'minimum', ours: 1, range: [1, 65_535] }],
  ['DataPDUInOrder', { kind: 'or', ours: true }],
  ['DataSequenceInOrder', { kind: 'or', ours: true }],
  ['ErrorRecoveryLevel', { kind: 'minimum', ours: 0, range: [0, 2] }],
  ['IFMarker', { kind: 'and', ours: false }],
  ['OFMarker', { kind: 'and', ours: false }],
  ['IFMarkInt', { kind: 'obsolete' }],
  ['OFMarkInt', { kind: 'obsolete' }],
  ['TaskReporting', { kind: 'list', ours: ['RFC3720'] }],
  ['iSCSIProtocolLevel', { kind: 'minimum', ours: 1, range: [0, 31] }],
  ['InitiatorName', { kind: 'declared' }],
  ['InitiatorAlias', { kind: 'declared' }],
  ['TargetName', { kind: 'declared' }],
  ['SessionType', { kind: 'declared' }],
])

/** Answers that end a negotiation and need none in return (§6.2). */
const CLOSING = new Set(['NotUnderstood', 'Reject', 'Irrelevant'])

/** Our answer to one key, undefined when it needs none; the agreed value goes into `parameters`. */
export function negotiate(key: string, offered: string, parameters: Parameters): string | undefined {
  const rule = KEYS.get(key)
  if (CLOSING.has(offered)) return undefined
  if (rule === undefined) return 'NotUnderstood'
  const answer = result(rule, offered)
  if (answer !== 'Reject') keep(key, answer ?? offered, parameters)
  return answer
}

function result(rule: Rule, offered: string): string | undefined {
  switch (rule.kind) {
    case 'minimum':
    case 'maximum':
      return numberResult(rule, offered)
    case 'and':
    case 'or':
      return booleanResult(rule, offered)
    case 'list':
      return offered.split(',').find((each) => rule.ours.includes(each)) ?? 'Reject' // its order counts (§6.2.1)
    case 'declared':
      return isDeclarable(rule, offered) ? undefined : 'Reject'
    case 'obsolete':
      return 'Reject'
  }
}

function isDeclarable(rule: Rule & { kind: 'declared' }, offered: string): boolean {
  return rule.range === undefined || parseNumber(offered, rule.range) !== undefined
}

function numberResult(rule: Rule & { kind: 'minimum' | 'maximum' }, offered: string): string {
  const value = parseNumber(offered, rule.range)
  if (value === undefined) return 'Reject'
  return String(rule.kind === 'minimum' ? Math.min(value, rule.ours) : Math.max(value, rule.ours))
}

function booleanResult(rule: Rule & { kind: 'and' | 'or' }, offered: string): string {
  if (offered !== 'Yes' && offered !== 'No') return 'Reject'
  const value = offered === 'Yes'
  return (rule.kind === 'and' ? value && rule.ours : value || rule.ours) ? 'Yes' : 'No'
}

/** Decimal or 0x hexadecimal (§6.1), inside `range`. */
function parseNumber(text: string, range: readonly [number, number]): number | undefined {
  if (!/^(?:\d{1,10}|0[xX][0-9a-fA-F]{1,8})$/.test(text)) return undefined
  const value = Number(text)
  return value >= range[0] && value <= range[1] ? value : undefined
}

function keep(key: string, value: string, parameters: Parameters): void {
  if (key === 'MaxRecvDataSegmentLength') parameters.peerMaxRecvDataSegmentLength = Number(value)
  if (key === 'MaxBurstLength') parameters.maxBurstLength = Number(value)
  if (key === 'FirstBurstLength') parameters.firstBurstLength = Number(value)
  if (key === 'InitialR2T') parameters.initialR2t = value === 'Yes'
  if (key === 'HeaderDigest') parameters.headerDigest = value === 'CRC32C'
  if (key === 'DataDigest') parameters.dataDigest = value === 'CRC32C'
  if (key === 'ImmediateData') parameters.immediateData = value === 'Yes'
}
