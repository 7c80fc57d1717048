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
  for (const name of await readdir(target, { recursive: true })) {
    const file = join(target, name)
    const stat = await lstat(file)
    const content = stat.isSymbolicLink()
      ? await readlink(file)
      : stat.isFile()
        ? createHash('sha256')
            .update(await readFile(file))
            .digest('hex')
        : ''
    found.set(
      `/${name}`,
      [stat.mode, stat.uid, stat.gid, stat.isFile() ? stat.mtimeMs : 0, content].join(' '),
    )
  }
  return found
}
