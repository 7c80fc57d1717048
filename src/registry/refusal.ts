import { DaemonError, systemCode, type ErrorCode } from '../errors.js'

/** What a breach of a UNIQUE rule means to the operator; a rule not listed is our own fault and stays fatal. */
const TAKEN: Readonly<Record<string, { code: ErrorCode; field: string; text: string }>> = {
  'images.name': { code: 'NAME_TAKEN', field: 'name', text: 'an image is already named' },
  'volumes.name': { code: 'NAME_TAKEN', field: 'name', text: 'a volume is already named' },
  'snapshots.name': { code: 'NAME_TAKEN', field: 'name', text: 'a snapshot is already named' },
  'machines.name': { code: 'NAME_TAKEN', field: 'name', text: 'a machine is already named' },
  'servers.name': { code: 'NAME_TAKEN', field: 'name', text: 'a server is already named' },
  'keypairs.name': { code: 'NAME_TAKEN', field: 'name', text: 'a key pair is already named' },
  'nics.mac': { code: 'MAC_TAKEN', field: 'mac', text: 'a machine already has the MAC address' },
  'nics.ip': { code: 'ADDRESS_TAKEN', field: 'ip', text: 'a machine already has the IP address' },
  'nics.switch_port': {
    code: 'NAME_TAKEN',
    field: 'switchPort',
    text: 'a machine is already at switch port',
  },
  'servers.machine_id': { code: 'WRONG_STATE', field: 'machineId', text: 'a server already runs on machine' },
  'attachments.volume_id': { code: 'IN_USE', field: 'volumeId', text: 'a server already has volume' },
  'servers.volume_id': { code: 'WRONG_STATE', field: 'volumeId', text: 'a server already uses volume' },
}

/** Errors of the storage below SQLite, by the start of SQLite's own code. */
const STORAGE: readonly { prefix: string; code: ErrorCode; text: string }[] = [
  { prefix: 'SQLITE_FULL', code: 'DISK_FULL', text: 'the registry cannot grow' },
  { prefix: 'SQLITE_NOTADB', code: 'REGISTRY_DAMAGED', text: 'the registry is not a SQLite database' },
  { prefix: 'SQLITE_CORRUPT', code: 'REGISTRY_DAMAGED', text: 'the registry is damaged' },
  { prefix: 'SQLITE_BUSY', code: 'STATE_LOCKED', text: 'another process holds the registry' },
  { prefix: 'SQLITE_READONLY', code: 'STATE_UNUSABLE', text: 'the registry cannot be written' },
  { prefix: 'SQLITE_CANTOPEN', code: 'STATE_UNUSABLE', text: 'the registry cannot be opened' },
  { prefix: 'SQLITE_IOERR', code: 'STATE_UNUSABLE', text: 'the registry cannot be read or written' },
  { prefix: 'SQLITE_PERM', code: 'STATE_UNUSABLE', text: 'the registry may not be opened' },
]

/**
 * Runs one write; a broken rule becomes the operator's error, naming the value.
 * @param record the values written, by field name
 * @throws DaemonError NAME_TAKEN, MAC_TAKEN, ADDRESS_TAKEN, WRONG_STATE, NOT_FOUND, DISK_FULL or of the storage
 */
export function refusing<T>(record: object, write: () => T): T {
  try {
    return write()
  } catch (err) {
    throw taken(err, record) ?? missing(err) ?? storageRefusal(err) ?? err
  }
}

/**
 * Runs one DELETE; a foreign key that still points here becomes IN_USE.
 * @param what names the thing, e.g. `image 4711`
 * @param dependants names what uses it, asked only when the delete was refused
 */
export function refusingInUse<T>(what: string, dependants: () => readonly string[], remove: () => T): T {
  try {
    return remove()
  } catch (err) {
    if (systemCode(err) !== 'SQLITE_CONSTRAINT_FOREIGNKEY') throw storageRefusal(err) ?? err
    throw new DaemonError('IN_USE', `${what} is used by ${dependants().join(', ')}`, { cause: err })
  }
}

/** The operator's form of an error of the file below the registry, or undefined when it is none. */
export function storageRefusal(err: unknown, path?: string): DaemonError | undefined {
  const sqliteCode = systemCode(err)
  if (sqliteCode === undefined || !(err instanceof Error)) return undefined
  const known = STORAGE.find(({ prefix }) => sqliteCode.startsWith(prefix))
  if (known === undefined) return undefined
  const where = path === undefined ? '' : ` (${path})`
  return new DaemonError(known.code, `${known.text}${where}: ${err.message}`, { cause: err })
}

function taken(err: unknown, record: object): DaemonError | undefined {
  if (!(err instanceof Error)) return undefined
  const column = /^UNIQUE constraint failed: (\S+)$/.exec(err.message)?.[1] ?? ''
  const rule = TAKEN[column]
  if (rule === undefined) return undefined
  const value: unknown = Object.entries(record).find(([field]) => field === rule.field)?.[1]
  return new DaemonError(rule.code, `${rule.text} ${String(value)}`, { cause: err })
}

function missing(err: unknown): DaemonError | undefined {
  if (systemCode(err) !== 'SQLITE_CONSTRAINT_FOREIGNKEY') return undefined
  return new DaemonError('NOT_FOUND', 'what this refers to does not exist (any more)', { cause: err })
}
