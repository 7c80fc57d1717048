import { createHash } from 'node:crypto'
import { lstat, mkdir, readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../../src/command.js'
import type { BuiltDisk } from '../../src/rootdisk/image/kernel-files.js'

/** Paths in the root file systems of two disks whose content, kind, owner, mode or time is not the same in both. */
export async function differingFiles(
  first: BuiltDisk,
  second: BuiltDisk,
  dir: string,
): Promise<readonly string[]> {
  const [one, two] = await Promise.all([facts(first, join(dir, 'one')), facts(second, join(dir, 'two'))])
  const paths = new Set([...one.keys(), ...two.keys()])
  return [...paths].filter((path) => one.get(path) !== two.get(path)).sort()
}

/** What is in a disk's root file system: one text for each file, by its path. */
async function facts(disk: BuiltDisk, target: string): Promise<ReadonlyMap<string, string>> {
  await mkdir(target)
  const device = `${disk.path}?offset=${disk.rootOffsetBytes}`
  await runCommand('debugfs', ['-R', 'rdump / .', device], { timeoutMs: 600_000, cwd: target })
  const found = new Map<string, string>()
  for await (const path of below(target)) found.set(path.slice(target.length), await fact(path))
  return found
}

/** Every path below a folder. Links are not followed: an absolute one leads into this host. */
async function* below(folder: string): AsyncGenerator<string> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    yield path
    if (entry.isDirectory()) yield* below(path)
  }
}

async function fact(path: string): Promise<string> {
  const stat = await lstat(path)
  const owner = [stat.mode, stat.uid, stat.gid].join(' ')
  if (stat.isSymbolicLink()) return `${owner} ${await readlink(path)}`
  if (!stat.isFile()) return owner
  const digest = createHash('sha256')
    .update(await readFile(path))
    .digest('hex')
  return `${owner} ${stat.mtimeMs} ${digest}`
}
