import { DaemonError } from '../errors.js'

/** What one architecture's firmware is sent first, if anything. */
export interface Loader {
  /** The processor architecture code of DHCP option 93 (RFC 4578 §2.1, IANA "Processor Architecture Types"). */
  readonly arch: number
  /** In words, for people. */
  readonly name: string
  /** How firmware of this architecture fetches it; a client's own class (option 60) says so first. */
  readonly by: 'tftp' | 'http'
  /** A plain file name in one of the loader directories; absent when there is none. */
  readonly file?: string
  /** Why there is none. */
  readonly none?: string
}

/** Loaders by architecture code. */
export type LoaderTable = ReadonlyMap<number, Loader>

const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$/

/** Whether `name` may name a loader: a plain file name. */
export function isLoaderName(name: string): boolean {
  return FILE_NAME.test(name)
}

/**
 * The table of `boot/loaders.json`, or of an operator's own file.
 * @throws DaemonError CONFIG_INVALID naming the row and what is wrong with it
 */
export function parseLoaderTable(json: string): LoaderTable {
  const rows = parseRows(json)
  const table = new Map<number, Loader>()
  rows.forEach((row, index) => {
    const loader = parseLoader(row)
    if (loader === undefined) {
      throw invalid(
        `row ${index}: expected { arch: 0..65535, name, by: tftp or http, file: a plain file name | none: why }`,
      )
    }
    if (table.has(loader.arch)) throw invalid(`row ${index}: arch ${loader.arch} is there twice`)
    table.set(loader.arch, loader)
  })
  return table
}

function parseRows(json: string): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(json)
    if (Array.isArray(value)) return value
  } catch (err) {
    throw invalid('not JSON', err)
  }
  throw invalid('expected an array of rows')
}

function parseLoader(row: unknown): Loader | undefined {
  if (typeof row !== 'object' || row === null) return undefined
  const { arch, name, by, file, none } = row as Record<string, unknown> // fields are checked one by one below
  if (!isCode(arch) || typeof name !== 'string' || !isTransport(by)) return undefined
  const sent = parseSent(file, none)
  return sent === undefined ? undefined : { arch, name, by, ...sent }
}

function parseSent(file: unknown, none: unknown): Pick<Loader, 'file' | 'none'> | undefined {
  if (typeof none === 'string') return file === undefined ? { none } : undefined
  return none === undefined && typeof file === 'string' && isLoaderName(file) ? { file } : undefined
}

function isTransport(by: unknown): by is Loader['by'] {
  return by === 'tftp' || by === 'http'
}

function isCode(arch: unknown): arch is number {
  return typeof arch === 'number' && Number.isInteger(arch) && arch >= 0 && arch <= 0xffff
}

function invalid(problem: string, cause?: unknown): DaemonError {
  return new DaemonError('CONFIG_INVALID', `loader table: ${problem}`, { cause })
}
