import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../../../command.js'
import { DaemonError } from '../../../errors.js'
import { DISK_PATH, INPUT_PATH, type DiskTool } from '../inspect/disk-tool.js'
import type { FileTree } from '../inspect/file-tree.js'

const FALLBACK = '::/EFI/BOOT/BOOTX64.EFI'
const LOADER_LIMIT_BYTES = 16 << 20
const ANSWER_BYTES = 64 * 1024
const STEP_TIMEOUT_MS = 60_000
const GRUB_DIR = '/usr/lib/grub/x86_64-efi'
const MODULES = [
  ...['part_gpt', 'part_msdos', 'ext2', 'fat', 'xfs', 'lvm', 'search', 'search_fs_uuid', 'search_label'],
  ...['normal', 'configfile', 'linux', 'echo', 'test', 'gzio', 'minicmd'],
]

/** Where a fallback loader goes, and what it is made of. */
export interface LoaderPlace {
  /** A tool that may write. */
  readonly tool: DiskTool
  readonly esp: FileTree
  readonly espStartBytes: number
  /** Loaders that the partition has. */
  readonly loaders: readonly string[]
  /** UUID of the file system with the menu, and the menu's path. */
  readonly menu: { readonly uuid: string; readonly path: string } | undefined
}

/**
 * Puts a loader where firmware without entries of its own looks: the GRUB that the vendor left beside, or one of ours
 * that goes to the menu. @throws DaemonError WRONG_STATE when there is neither
 */
export async function writeFallbackLoader(place: LoaderPlace): Promise<void> {
  const { tool, esp, espStartBytes, loaders, menu } = place
  const vendors = loaders.find((path) => /\/grubx64\.efi$/i.test(path)) ?? loaders[0]
  const found = vendors === undefined ? undefined : await esp.read(vendors, LOADER_LIMIT_BYTES)
  const loader = join(tool.scratchDir, 'loader')
  if (found !== undefined) await writeFile(loader, found)
  else if (menu !== undefined) await makeLoader(tool.scratchDir, menu, loader)
  else throw new DaemonError('WRONG_STATE', 'there is no menu that a loader could show')
  const device = `${DISK_PATH}@@${espStartBytes}`
  // -D s: a folder that is there is left as it is
  await tool.run(['mmd', '-D', 's', '-i', device, '::/EFI', '::/EFI/BOOT'], ANSWER_BYTES)
  const { isOk, stderr } = await tool.run(
    ['mcopy', '-o', '-i', device, `${INPUT_PATH}/loader`, FALLBACK],
    ANSWER_BYTES,
  )
  if (!isOk)
    throw new DaemonError('WRONG_STATE', `the EFI system partition takes no loader (${stderr.trim()})`)
}

async function makeLoader(
  folder: string,
  menu: { uuid: string; path: string },
  output: string,
): Promise<void> {
  const early = join(folder, 'early.cfg')
  await writeFile(early, `search --no-floppy --set=root --fs-uuid ${menu.uuid}\nconfigfile ${menu.path}\n`)
  const args = ['-O', 'x86_64-efi', '-d', GRUB_DIR, '-c', early, '-p', '/boot/grub', '-o', output, ...MODULES]
  await runCommand('grub-mkimage', args, { timeoutMs: STEP_TIMEOUT_MS })
}
