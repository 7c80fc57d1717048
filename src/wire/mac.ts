const MAC_TEXT = /^[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}$/i

/** `52:54:00:12:34:56` in lower case, or undefined when `text` is no 48-bit MAC (colons or hyphens). */
export function parseMac(text: string): string | undefined {
  return MAC_TEXT.test(text) ? text.toLowerCase().replaceAll('-', ':') : undefined
}

/** Six bytes as `52:54:00:12:34:56`. */
export function macFromBytes(bytes: Uint8Array): string {
  return [...bytes.subarray(0, 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
}

/** The six bytes of a MAC as {@link parseMac} gives it. */
export function macToBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(':').map((part) => Number.parseInt(part, 16)))
}
