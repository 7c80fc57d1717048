/**
 * One name for the port of a switch that a relay agent tells of (RFC 3046 §3.1, §3.2): hex of the circuit id, a slash,
 * hex of the remote id; either may be missing. Undefined when both are.
 */
export function switchPortName(
  circuitId: Uint8Array | undefined,
  remoteId: Uint8Array | undefined,
): string | undefined {
  const [circuit, remote] = [circuitId, remoteId].map((id) => Buffer.from(id ?? []).toString('hex'))
  return circuit === '' && remote === '' ? undefined : `${circuit ?? ''}/${remote ?? ''}`
}

/** The bytes of an id as people write it: text, or hex after `0x`; undefined when it is neither 1 to 253 bytes. */
export function parsePortId(text: string): Uint8Array | undefined {
  const isHex = /^0x(?:[0-9a-f]{2})+$/i.test(text)
  const id = isHex ? Buffer.from(text.slice(2), 'hex') : Buffer.from(text)
  return id.length >= 1 && id.length <= 253 ? Uint8Array.from(id) : undefined
}
