import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { systemCode } from '../../errors.js'
import {
  isReservationState,
  type ReservationState,
  type ReservationStore,
} from '../scsi/reservation-state.js'
import { nodeLayerFiles } from '../volume/layer-files.js'

const DIRECTORY = 'reservations'

/**
 * Persistent reservations in one JSON file a LUN: with APTPL below the state directory, where they outlive the
 * loss of power, else below the run-time directory, where they outlive this process and end with the host's boot.
 */
export class ReservationFiles implements ReservationStore {
  readonly #stateDir: string
  readonly #runDir: string

  constructor(dirs: { readonly stateDir: string; readonly runDir: string }) {
    this.#stateDir = join(dirs.stateDir, DIRECTORY)
    this.#runDir = join(dirs.runDir, DIRECTORY)
  }

  /** @throws Error when a file is not one of ours: a LUN somebody may have reserved is not let out */
  async load(lunId: string): Promise<ReservationState | undefined> {
    const kept = await readState(fileOf(this.#stateDir, lunId))
    if (kept !== undefined) return kept
    return readState(fileOf(this.#runDir, lunId))
  }

  async save(lunId: string, state: ReservationState): Promise<void> {
    const [kept, passing] = [fileOf(this.#stateDir, lunId), fileOf(this.#runDir, lunId)]
    const isForgotten = state.registrations.length === 0
    if (!isForgotten) await writeState(state.isPersistent ? kept : passing, state)
    if (isForgotten || !state.isPersistent) await removeFile(kept) // load looks there first
    if (isForgotten || state.isPersistent) await rm(passing, { force: true })
  }
}

function fileOf(directory: string, lunId: string): string {
  return join(directory, `${lunId}.json`)
}

async function readState(path: string): Promise<ReservationState | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (err) {
    if (systemCode(err) === 'ENOENT') return undefined
    throw err
  }
  const value: unknown = JSON.parse(text)
  if (!isReservationState(value)) throw new Error(`${path} does not hold persistent reservations`)
  return value
}

/** Old or new after a crash, never half of one. */
async function writeState(path: string, state: ReservationState): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const handle = await open(`${path}.new`, 'w', 0o600)
  try {
    await handle.writeFile(`${JSON.stringify(state)}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(`${path}.new`, path)
  await nodeLayerFiles.syncDirectory(dirname(path))
}

async function removeFile(path: string): Promise<void> {
  try {
    await rm(path)
    await nodeLayerFiles.syncDirectory(dirname(path))
  } catch (err) {
    if (systemCode(err) !== 'ENOENT') throw err
  }
}
