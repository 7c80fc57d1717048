const HEX = Buffer.from('0123456789abcdef', 'latin1')
const COLON = 0x3a
const MAC_TEXT = /^[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}$/i

/** `52:54:00:12:34:56` in lower case, or undefined when `text` is no 48-bit MAC (colons or hyphens). */
export function parseMac(text: string): string | undefined {
  return MAC_TEXT.test(text) ? text.toLowerCase().replaceAll('-', ':') : undefined
}

/** Six bytes as `52:54:00:12:34:56`. */
export function macFromBytes(bytes: Uint8Array): string {
  const digits = Buffer.allocUnsafe(17).fill(COLON)
  for (let i = 0; i < 6; i++) {
    const byte = bytes[i] ?? 0
    digits[3 * i] = HEX[byte >>> 4] ?? 0
    digits[3 * i + 1] = HEX[byte & 0xf] ?? 0
  }
  return digits.toString('latin1')
}

/** The six bytes of a MAC as {@link parseMac} gives it. */
export function macToBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(':').map((part) => Number.parseInt(part, 16)))
}
