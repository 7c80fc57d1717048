import { DaemonError } from '../errors.js'

/** The first program sent to a firmware of one architecture. */
export interface Loader {
  /** The processor architecture code of DHCP option 93 (RFC 4578 §2.1, IANA "Processor Architecture Types"). */
  readonly arch: number
  /** In words, for people. */
  readonly name: string
  /** A plain file name in one of the loader directories. */
  readonly file: string
}

/** Loaders by architecture code. */
export type LoaderTable = ReadonlyMap<number, Loader>

const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$/

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
      throw invalid(`row ${index}: expected { arch: 0..65535, name, file: a plain file name }`)
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
  const { arch, name, file } = row as Record<string, unknown> // fields are checked one by one below
  if (typeof arch !== 'number' || !Number.isInteger(arch) || arch < 0 || arch > 0xffff) return undefined
  if (typeof name !== 'string') return undefined
  if (typeof file !== 'string' || !FILE_NAME.test(file)) return undefined
  return { arch, name, file }
}

function invalid(problem: string, cause?: unknown): DaemonError {
  return new DaemonError('CONFIG_INVALID', `loader table: ${problem}`, { cause })
}
