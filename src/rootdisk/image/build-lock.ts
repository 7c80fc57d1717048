import { link, readFile, rm, writeFile } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { systemCode } from '../../errors.js'

const POLL_MS = 500

/**
 * Waits until the lock file `lockPath` is ours; the returned function gives it up.
 * A lock whose process is gone is taken over. Two builders that take over at the same moment would both build:
 * wasteful, and harmless since each works in its own folder and renames its result into place.
 */
export async function lockBuild(lockPath: string, signal?: AbortSignal): Promise<() => Promise<void>> {
  const mine = `${lockPath}.${process.pid}.${crypto.randomUUID()}`
  await writeFile(mine, `${process.pid}\n`)
  try {
    while (!(await linked(mine, lockPath))) {
      signal?.throwIfAborted()
      if (await isAbandoned(lockPath)) await rm(lockPath, { force: true })
      else await wait(POLL_MS, undefined, { signal })
    }
  } finally {
    await rm(mine, { force: true })
  }
  return () => rm(lockPath, { force: true })
}

/** link(2) either makes the whole file appear or fails. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (err) {
    if (systemCode(err) === 'EEXIST') return false
    throw err
  }
}

async function isAbandoned(lockPath: string): Promise<boolean> {
  const owner = Number(await readFile(lockPath, 'utf8').catch(() => 'gone'))
  if (!Number.isInteger(owner) || owner <= 0) return false
  try {
    process.kill(owner, 0)
    return false
  } catch (err) {
    return systemCode(err) === 'ESRCH'
  }
}
