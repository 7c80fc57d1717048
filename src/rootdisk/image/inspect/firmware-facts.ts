import type { FirmwareFacts } from './facts.js'
import type { FileSystem } from './file-systems.js'
import { harmless, readText, type FileTree } from './file-tree.js'
import { GPT_TYPE } from './gpt.js'
import { parseGrubConfig } from './grub-menu.js'
import { isEsp, SECTOR_BYTES, type DiskBytes, type PartitionTable } from './partition-table.js'

const MAX_VENDORS = 32
/** GRUB's with everything built in has about 4 MiB. */
const LOADER_LIMIT_BYTES = 16 << 20
const GRUB_MARK = 'GRUB '

/** What the loaders on the EFI system partition search the disk for, beside what they are. */
export interface Firmware {
  readonly facts: FirmwareFacts
  readonly searches: readonly string[]
}

/** Looks at the places that firmware starts. */
export async function readFirmware(
  disk: DiskBytes,
  table: PartitionTable,
  fileSystems: readonly FileSystem[],
): Promise<Firmware> {
  const esp = fileSystems.find(({ partition, tree }) => partition && isEsp(partition) && tree !== undefined)
  const hasEsp = table.partitions.some(isEsp)
  const loaders = esp?.tree === undefined ? [] : await loadersOf(esp.tree)
  const fallback = loaders.find((path) => path.toLowerCase() === '/efi/boot/bootx64.efi')
  return {
    facts: {
      hasBiosLoader: await hasBiosLoader(disk, table),
      hasEsp,
      hasFallback: fallback !== undefined,
      loaders: loaders.map(harmless),
    },
    searches: esp?.tree === undefined ? [] : await searchesOf(esp.tree, loaders),
  }
}

async function loadersOf(esp: FileTree): Promise<string[]> {
  const loaders: string[] = []
  const vendors = (await esp.list('/EFI')).filter(({ kind }) => kind === 'directory')
  for (const { name } of vendors.slice(0, MAX_VENDORS)) {
    const files = (await esp.list(`/EFI/${name}`)).filter(
      (entry) => /\.efi$/i.test(entry.name) && entry.sizeBytes > 0,
    )
    loaders.push(...files.slice(0, MAX_VENDORS).map((file) => `/EFI/${name}/${file.name}`))
  }
  return loaders
}

/** In a vendor's grub.cfg, or in the configuration that grub-mkimage put into the loader. */
async function searchesOf(esp: FileTree, loaders: readonly string[]): Promise<string[]> {
  const found = new Set<string>()
  for (const directory of new Set(loaders.map((path) => path.slice(0, path.lastIndexOf('/'))))) {
    const config = await readText(esp, `${directory}/grub.cfg`)
    for (const search of parseGrubConfig(config ?? '').searches) found.add(harmless(search))
  }
  const fallback = loaders.find((path) => path.toLowerCase() === '/efi/boot/bootx64.efi')
  const image = fallback === undefined ? undefined : await esp.read(fallback, LOADER_LIMIT_BYTES)
  const lines = Buffer.from(image ?? [])
    .toString('latin1')
    .matchAll(/search(?:\.\w+)? [ -~]{1,200}/g)
  for (const [line] of lines) for (const search of parseGrubConfig(line).searches) found.add(harmless(search))
  return [...found]
}

/** GRUB's boot sector says where its next one is (0x5c); another loader needs an active partition. */
async function hasBiosLoader(disk: DiskBytes, table: PartitionTable): Promise<boolean> {
  if (!table.hasBootCode) return false
  const lba0 = await disk.read(0, SECTOR_BYTES)
  if (!Buffer.from(lba0).includes(GRUB_MARK)) return table.partitions.some(({ isActive }) => isActive)
  const lba = Number(new DataView(lba0.buffer, lba0.byteOffset).getBigUint64(0x5c, true))
  const core = await disk.read(lba * SECTOR_BYTES, SECTOR_BYTES)
  const isPlaced = table.kind !== 'gpt' || table.partitions.some(({ type }) => type === GPT_TYPE.biosGrub)
  return isPlaced && core.some((byte) => byte !== 0)
}
