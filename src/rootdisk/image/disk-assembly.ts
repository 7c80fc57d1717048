import { open, readFile, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { runCommand, type CommandResult } from '../../command.js'
import { EPOCH_SECONDS, fixedUuid, fixedVolumeNumber, TIME } from './fixed-identity.js'
import { earlyGrubConfig } from './grub-config.js'
import { bootSector, placedCore, SECTOR_BYTES } from './grub-sectors.js'
import type { Recipe } from './recipe.js'

/** What {@link assembleDisk} works with. */
export interface Assembly {
  readonly recipe: Recipe
  /** The finished root file system, a folder with its owners as they will be. */
  readonly rootDir: string
  /** Scratch folder. */
  readonly workDir: string
  /** The raw disk to make. */
  readonly diskPath: string
  readonly signal?: AbortSignal | undefined
}

const MIB = 1 << 20
const SECTORS_PER_MIB = MIB / SECTOR_BYTES
const STEP_TIMEOUT_MS = 300_000
// ext4: the root directory's inode, and how many are no file's (ext2fs.h: EXT2_ROOT_INO, EXT2_GOOD_OLD_FIRST_INO)
const ROOT_INODE = 2
const RESERVED_INODES = 10
const GRUB_DIR = '/usr/lib/grub'

// GPT, in MiB: table, 1 MiB for GRUB's core.img, the EFI system partition, the root, the backup table.
const CORE_MIB = 1
const ESP_MIB = 2

/** Where the root file system begins on the disk of a recipe. */
export function rootOffsetBytes({ espMiB }: Pick<Recipe, 'espMiB'>): number {
  return (ESP_MIB + espMiB) * MIB
}

/** Makes a GPT disk that the recipe's firmware kinds start, without loop devices or mounts. */
export async function assembleDisk(assembly: Assembly): Promise<void> {
  await partition(assembly)
  await makeRoot(assembly)
  const { firmware } = assembly.recipe
  if (firmware !== 'bios') await makeEsp(assembly)
  if (firmware !== 'uefi') await installBiosGrub(assembly)
}

async function partition(assembly: Assembly): Promise<void> {
  const { recipe, diskPath } = assembly
  const file = await open(diskPath, 'wx', 0o644)
  await file.truncate(recipe.diskMiB * MIB).finally(() => file.close())
  const rootMiB = ESP_MIB + recipe.espMiB
  await step(assembly, 'sgdisk', [
    ...['-n', `1:${CORE_MIB}M:+1M`, '-t', '1:ef02', '-c', '1:grub'],
    ...['-n', `2:${ESP_MIB}M:+${recipe.espMiB}M`, '-t', '2:ef00', '-c', '2:esp'],
    ...['-n', `3:${rootMiB}M:+${recipe.diskMiB - rootMiB - 1}M`, '-t', '3:8300', '-c', '3:root'],
    ...['-U', fixedUuid(recipe.digest, 'disk'), '-u', `1:${fixedUuid(recipe.digest, 'grub')}`],
    ...['-u', `2:${fixedUuid(recipe.digest, 'esp')}`, '-u', `3:${fixedUuid(recipe.digest, 'root')}`],
    diskPath,
  ])
}

async function makeRoot(assembly: Assembly): Promise<void> {
  const { recipe, diskPath, rootDir } = assembly
  const startMiB = ESP_MIB + recipe.espMiB
  // All tables are written now: a lazy initialisation would dirty every clone in the background.
  const uuid = fixedUuid(recipe.digest, 'file system')
  const extended = `offset=${rootOffsetBytes(recipe)},hash_seed=${uuid},lazy_itable_init=0,lazy_journal_init=0,nodiscard`
  await step(assembly, 'mkfs.ext4', [
    ...['-q', '-F', '-L', recipe.rootLabel, '-U', uuid, '-m', '1', '-E', extended],
    ...['-J', `size=${recipe.diskMiB < 1024 ? 4 : 32}`],
    ...['-O', '^metadata_csum_seed,^orphan_file'], // GRUB 2.06 reads neither
    ...['-d', rootDir, diskPath, `${(recipe.diskMiB - startMiB - 1) * 1024}k`],
  ])
  await settleInodeTimes(assembly)
}

/**
 * mke2fs copies when the files of the folder were last changed and read: that is when we made them.
 * It gives inodes out in order, so those in use are the first ones.
 */
async function settleInodeTimes(assembly: Assembly): Promise<void> {
  const device = `${assembly.diskPath}?offset=${rootOffsetBytes(assembly.recipe)}`
  const { stdout } = await step(assembly, 'dumpe2fs', ['-h', device])
  const count = (what: string): number => Number(new RegExp(`^${what}:\\s+(\\d+)$`, 'm').exec(stdout)?.[1])
  const used = count('Inode count') - count('Free inodes')
  const inodes = [
    ROOT_INODE,
    ...Array.from({ length: used - RESERVED_INODES }, (_, i) => i + RESERVED_INODES + 1),
  ]
  const script = path.join(assembly.workDir, 'inode-times')
  const lines = inodes.flatMap((inode) =>
    ['atime', 'ctime'].map((field) => `set_inode_field <${inode}> ${field} @${EPOCH_SECONDS}\n`),
  )
  await writeFile(script, lines.join(''))
  await step(assembly, 'debugfs', ['-w', '-f', script, device])
}

async function makeEsp(assembly: Assembly): Promise<void> {
  const { recipe, diskPath, workDir } = assembly
  const loader = path.join(workDir, 'BOOTX64.EFI')
  await makeGrub(assembly, 'x86_64-efi', loader, [])
  const esp = path.join(workDir, 'esp.img') // mkfs.vfat's own --offset gives a FAT that mtools cannot read
  await writeFile(esp, '')
  await truncate(esp, recipe.espMiB * MIB)
  const number = fixedVolumeNumber(recipe.digest, 'esp')
  await step(assembly, 'mkfs.vfat', ['-F', '32', '-n', 'ESP', '--invariant', '-i', number, esp])
  await step(assembly, 'mmd', ['-i', esp, '::/EFI', '::/EFI/BOOT'])
  await step(assembly, 'mcopy', ['-i', esp, loader, '::/EFI/BOOT/BOOTX64.EFI'])
  const place = [`if=${esp}`, `of=${diskPath}`, 'bs=1M', `seek=${ESP_MIB}`, 'conv=notrunc,sparse']
  await step(assembly, 'dd', place)
}

async function installBiosGrub(assembly: Assembly): Promise<void> {
  const core = path.join(assembly.workDir, 'core.img')
  await makeGrub(assembly, 'i386-pc', core, ['biosdisk'])
  const coreLba = CORE_MIB * SECTORS_PER_MIB
  const placed = placedCore(await readFile(core), coreLba, SECTORS_PER_MIB)
  const bootImg = await readFile(path.join(GRUB_DIR, 'i386-pc', 'boot.img'))
  const disk = await open(assembly.diskPath, 'r+')
  try {
    const lba0 = new Uint8Array(SECTOR_BYTES)
    await disk.read(lba0, 0, SECTOR_BYTES, 0)
    await disk.write(placed, 0, placed.length, coreLba * SECTOR_BYTES)
    await disk.write(bootSector(bootImg, lba0, coreLba), 0, SECTOR_BYTES, 0)
    await disk.sync()
  } finally {
    await disk.close()
  }
}

async function makeGrub(
  assembly: Assembly,
  format: 'i386-pc' | 'x86_64-efi',
  output: string,
  more: readonly string[],
): Promise<void> {
  const early = path.join(assembly.workDir, 'early.cfg')
  await writeFile(early, earlyGrubConfig(assembly.recipe))
  const modules = [...more, ...assembly.recipe.grubModules]
  const args = ['-O', format, '-d', path.join(GRUB_DIR, format), '-c', early, '-p', '/boot/grub']
  await step(assembly, 'grub-mkimage', [...args, '-o', output, ...modules])
}

async function step(assembly: Assembly, program: string, args: readonly string[]): Promise<CommandResult> {
  return runCommand(program, args, {
    timeoutMs: STEP_TIMEOUT_MS,
    ...(assembly.signal === undefined ? {} : { signal: assembly.signal }),
    env: { ...TIME, MTOOLS_SKIP_CHECK: '1' },
  })
}
