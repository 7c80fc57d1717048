/** One document, at its path inside its volume and under the metadata service. */
export interface SeedFile {
  readonly path: string
  readonly bytes: Buffer
}

/** `value` as a JSON document. */
export function jsonDocument(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`)
}
