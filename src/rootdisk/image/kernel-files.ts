import { open, rm } from 'node:fs/promises'
import path from 'node:path'
import { runCommand } from '../../command.js'
import { firstGrubEntry } from './grub-entry.js'

/** A disk that {@link buildImage} made, and where its root file system (ext4) begins. */
export interface BuiltDisk {
  readonly path: string
  readonly rootOffsetBytes: number
}

/** What a loader that reads no disk is sent of an image; also their file names in the layer's directory. */
export const KERNEL_FILES = ['kernel', 'initrd'] as const

/** One of {@link KERNEL_FILES}. */
export type KernelFile = (typeof KERNEL_FILES)[number]

const STEP_TIMEOUT_MS = 60_000
const LINK_TARGET = /^Fast link dest: "([A-Za-z0-9._+/-]+)"$/m

/**
 * Copies the kernel and the initrd that a built disk's own GRUB would start into `directory`, which is there.
 * @returns the kernel's arguments; undefined when the disk has no such GRUB entry, and nothing was written
 */
export async function copyKernelFiles(disk: BuiltDisk, directory: string): Promise<string | undefined> {
  const entry = firstGrubEntry(await debugfs(disk, directory, 'cat /boot/grub/grub.cfg'))
  if (entry === undefined) return undefined
  for (const file of KERNEL_FILES) {
    await rm(path.join(directory, file), { force: true })
    // debugfs runs in the directory: its request line has no room for paths with blanks.
    await debugfs(disk, directory, `dump ${await withoutLink(disk, directory, entry[file])} ${file}`)
    await synced(path.join(directory, file))
  }
  return entry.arguments
}

async function withoutLink(disk: BuiltDisk, directory: string, file: string): Promise<string> {
  const target = LINK_TARGET.exec(await debugfs(disk, directory, `stat ${file}`))?.[1]
  return target === undefined ? file : path.posix.resolve(path.posix.dirname(file), target)
}

/** Reads the file system without the host's kernel. It ends with status 0 whatever happened. */
async function debugfs(disk: BuiltDisk, cwd: string, request: string): Promise<string> {
  const device = `${disk.path}?offset=${disk.rootOffsetBytes}`
  const { stdout } = await runCommand('debugfs', ['-R', request, device], { timeoutMs: STEP_TIMEOUT_MS, cwd })
  return stdout
}

/** @throws Error when the file was not written, or is empty */
async function synced(file: string): Promise<void> {
  const handle = await open(file, 'r')
  try {
    const { size } = await handle.stat()
    if (size === 0) throw new Error(`${file} could not be read out of the disk`)
    await handle.sync()
  } finally {
    await handle.close()
  }
}
