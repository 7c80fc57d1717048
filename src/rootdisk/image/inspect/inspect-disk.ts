import { open, mkdtemp, rm, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { isAmong } from './disk-names.js'
import { builtinDrivers, inspectInitramfs, readKernel, readMenu } from './boot-facts.js'
import { DiskTool, type ToolLimits } from './disk-tool.js'
import type { ImageFacts, InitramfsFacts, SystemFacts } from './facts.js'
import { findFileSystems, type FileSystem } from './file-systems.js'
import { readText, type FileTree, type TreeProblem } from './file-tree.js'
import { readFirmware } from './firmware-facts.js'
import { parseFstab } from './fstab.js'
import { MountedTree } from './mounted-tree.js'
import { readPartitionTable, type DiskBytes } from './partition-table.js'
import { readCloudInit, readIdentity, readOs, readPackages, readPlugins } from './system-facts.js'

/** What an inspection may use. */
export interface InspectLimits extends ToolLimits {
  /** Of the whole inspection. */
  readonly totalMs: number
}

/** A raw disk. */
export interface DiskFile {
  readonly path: string
  readonly sizeBytes: number
}

/** A raw disk to look at; it is only read. */
export interface InspectOptions extends DiskFile {
  /** A folder for a scratch folder: an unpacked initramfs needs some 150 MiB. */
  readonly scratchDir: string
  readonly limits?: InspectLimits
  readonly signal?: AbortSignal | undefined
}

/** In a layers directory the sweep after a crash knows the name. */
const SCRATCH_PREFIX = '.convert-inspect-'

/** Measured: a Debian takes 2 s and 200 MiB. */
export const INSPECT_LIMITS: InspectLimits = { timeoutMs: 30_000, memoryBytes: 1 << 30, totalMs: 180_000 }

/**
 * Looks at a disk that nobody vouches for, never through this host's kernel.
 * @throws DaemonError WRONG_STATE where the tools cannot be run; the signal's reason
 */
export async function inspectDisk(options: InspectOptions): Promise<ImageFacts> {
  const { totalMs, ...limits } = options.limits ?? INSPECT_LIMITS
  const deadline = AbortSignal.timeout(totalMs)
  const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline])
  const scratchDir = await mkdtemp(join(options.scratchDir, SCRATCH_PREFIX))
  try {
    return (await lookInto(options, { scratchDir, limits, signal })).facts
  } finally {
    await rm(scratchDir, { recursive: true, force: true })
  }
}

/** What is seen, and through what: trees that can be read as long as the disk is there. */
export interface Look {
  readonly facts: ImageFacts
  readonly fileSystems: readonly FileSystem[]
  /** The system's files, all file systems together. */
  readonly tree: FileTree | undefined
}

/** What looking into a disk uses. */
export interface Work {
  /** A folder of its own, which the trees use too. */
  readonly scratchDir: string
  readonly limits: ToolLimits
  readonly signal?: AbortSignal | undefined
}

/** As {@link inspectDisk}, with the trees that it saw the disk through. */
export async function lookInto({ path, sizeBytes }: DiskFile, work: Work): Promise<Look> {
  const file = await open(path, 'r')
  try {
    const disk = diskBytes(file, sizeBytes)
    const table = await readPartitionTable(disk)
    const fileSystems = await findFileSystems(new DiskTool({ ...work, path }), disk, table)
    const firmware = await readFirmware(disk, table, fileSystems)
    const found = await findSystem(fileSystems, firmware.searches, work)
    const facts = {
      sizeBytes,
      table,
      fileSystems: fileSystems.map((one) => ({ ...one, tree: undefined })),
      firmware: firmware.facts,
      problems: problemsOf(fileSystems),
      system: found?.system,
    }
    return { facts, fileSystems, tree: found?.tree }
  } finally {
    await file.close()
  }
}

/** The first file system that says which operating system it is. */
async function findSystem(
  fileSystems: readonly FileSystem[],
  searches: readonly string[],
  work: Work,
): Promise<{ system: SystemFacts; tree: FileTree } | undefined> {
  for (const { tree, where, type } of fileSystems) {
    const os = tree === undefined || type === 'vfat' ? undefined : await readOs(tree)
    if (tree === undefined || os === undefined) continue
    const fstab = parseFstab((await readText(tree, '/etc/fstab')) ?? '')
    const mounted = new MountedTree(tree, mountsOf(fstab, fileSystems))
    const packages = await readPackages(mounted)
    const system = {
      where,
      os,
      fstab,
      cloudInit: await readCloudInit(mounted, packages),
      plugins: await readPlugins(mounted, packages),
      identity: await readIdentity(mounted),
      ...(await bootOf(mounted, searches, work)),
    }
    return { system, tree: mounted }
  }
  return undefined
}

async function bootOf(
  tree: FileTree,
  searches: readonly string[],
  work: Work,
): Promise<Pick<SystemFacts, 'menu' | 'kernel' | 'initramfs'>> {
  const menu = await readMenu(tree, searches)
  const kernel = await readKernel(tree, menu?.facts)
  const builtin = kernel === undefined ? [] : await builtinDrivers(tree, kernel.version)
  let initramfs: InitramfsFacts | undefined
  if (menu?.initrd !== undefined)
    initramfs = await inspectInitramfs(tree, menu.initrd, { builtin, arguments: menu.facts.arguments }, work)
  return { menu: menu?.facts, kernel, initramfs }
}

function mountsOf(fstab: SystemFacts['fstab'], fileSystems: readonly FileSystem[]): Map<string, FileTree> {
  const mounts = fstab.flatMap(({ source, path }) => {
    const found = /^\/(boot|usr|var)$/.test(path)
      ? fileSystems.find((one) => isAmong(source, [one]) === true)
      : undefined
    return found?.tree === undefined ? [] : [[path, found.tree] as const]
  })
  return new Map(mounts)
}

function problemsOf(fileSystems: readonly FileSystem[]): TreeProblem[] {
  return fileSystems.flatMap(({ tree, where }) =>
    (tree?.problems ?? []).map(({ kind, seen }) => ({ kind, seen: `${where}: ${seen}` })),
  )
}

/** An open file as a disk of `sizeBytes`; a range beyond its end is short. */
function diskBytes(file: FileHandle, sizeBytes: number): DiskBytes {
  return {
    sizeBytes,
    async read(offset, length) {
      const there = Math.max(0, Math.min(length, sizeBytes - offset))
      const bytes = new Uint8Array(there)
      if (there > 0) await file.read(bytes, 0, there, offset)
      return bytes
    },
  }
}
