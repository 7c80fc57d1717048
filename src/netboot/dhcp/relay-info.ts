// The relay agent information option (82, RFC 3046 §2.0): sub-options, each code, length, value.

/** Sub-options that are read. */
export const RELAY = {
  circuitId: 1, // RFC 3046 §3.1: the port of the switch
  remoteId: 2, // §3.2: the switch (or the modem)
  linkSelection: 5, // RFC 3527
  serverId: 11, // RFC 5107: what the client is to take for our address
} as const

/** The value of a sub-option of option 82, a view; undefined when it is not there or runs past the end. */
export function relaySubOption(relayInfo: Uint8Array | undefined, code: number): Uint8Array | undefined {
  if (relayInfo === undefined) return undefined
  for (let at = 0; at + 1 < relayInfo.length;) {
    const length = relayInfo[at + 1] ?? 0
    const end = at + 2 + length
    if (relayInfo[at] === code) return end > relayInfo.length ? undefined : relayInfo.subarray(at + 2, end)
    at = end
  }
  return undefined
}

/** The same, as an IPv4 address; undefined when it is not four bytes. */
export function relayAddress(relayInfo: Uint8Array | undefined, code: number): number | undefined {
  const value = relaySubOption(relayInfo, code)
  return value?.length === 4 ? value.reduce((sum, byte) => sum * 256 + byte, 0) : undefined
}
