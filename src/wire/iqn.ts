// RFC 7143 §4.2.7: iqn.yyyy-mm.reversed-domain[:anything], at most 223 bytes.
const IQN = /^iqn\.\d{4}-\d{2}\.[a-z0-9][a-z0-9.-]*(?::[a-z0-9.:_-]+)?$/

/** The iSCSI name in its normal form (lower case), or undefined. EUI and NAA names are accepted as text. */
export function parseIscsiName(text: string): string | undefined {
  const name = text.toLowerCase()
  if (Buffer.byteLength(name) > 223) return undefined
  return IQN.test(name) || /^(?:eui\.[0-9a-f]{16}|naa\.[0-9a-f]{16,32})$/.test(name) ? name : undefined
}
