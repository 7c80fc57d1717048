import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../../../command.js'
import { DaemonError } from '../../../errors.js'
import { DiskTool } from '../inspect/disk-tool.js'
import type { ImageFacts } from '../inspect/facts.js'
import type { FileSystem } from '../inspect/file-systems.js'
import { INSPECT_LIMITS, lookInto, type InspectOptions } from '../inspect/inspect-disk.js'
import { judge } from '../inspect/inspection.js'
import { PLUGINS_DIR } from '../shipped.js'
import { ExtEditor } from './ext-editor.js'
import { repairInGuest } from './repair-guest.js'
import { REPAIRS, type DiskInRepair, type RootInRepair } from './repairs.js'

/** A copy of an image to repair, and what of it. */
export interface FixOptions extends Pick<InspectOptions, 'path' | 'sizeBytes' | 'scratchDir' | 'signal'> {
  /** Rules whose remedies are applied; undefined: of all that are broken and have one. */
  readonly rules: readonly string[] | undefined
  readonly onProgress: (fraction: number, words: string) => void
}

/** Remedies that need the image's own tools, and so the image running. */
const IN_GUEST = ['initramfs-iscsi', 'initramfs-nic']
const SUPERBLOCK = 'superblock'
/** What such a guest installs before it makes its initramfs anew. */
const PLUGINS = ['sdi-inic']
const STEP_TIMEOUT_MS = 60_000
const KERNEL_LIMIT_BYTES = 256 << 20

/**
 * Applies the remedies of broken rules to a copy of a disk.
 * @returns the rules that were seen to
 * @throws DaemonError INVALID_INPUT for a rule without a remedy, WRONG_STATE when nothing can be done; the copy is
 *   worthless then
 */
export async function fixDisk(options: FixOptions): Promise<readonly string[]> {
  const scratchDir = await mkdtemp(join(options.scratchDir, '.convert-fix-'))
  try {
    return await fixIn({ ...options, scratchDir })
  } finally {
    await rm(scratchDir, { recursive: true, force: true })
  }
}

async function fixIn(options: FixOptions): Promise<readonly string[]> {
  const done: string[] = []
  const seen = await look(options)
  const first = wanted(options, seen.facts)
  if (first.includes(SUPERBLOCK)) {
    await restoreSuperblock(seen, options)
    done.push(SUPERBLOCK)
  }
  // What a damaged superblock hid is there to be judged now.
  const disk = first.includes(SUPERBLOCK) ? await look(options) : seen
  const rules = wanted(options, disk.facts).filter((rule) => rule !== SUPERBLOCK)
  done.push(...(await offline(rules, disk, options)))
  const inGuest = rules.filter((rule) => IN_GUEST.includes(rule))
  if (inGuest.length > 0) {
    options.onProgress(0.4, 'repairing in a guest')
    await runRepairGuest(options)
    done.push(...inGuest)
  }
  if (done.length === 0) throw new DaemonError('WRONG_STATE', 'no rule that has a remedy is broken')
  return done
}

async function look(options: FixOptions): Promise<Omit<DiskInRepair, 'root'>> {
  const { path, scratchDir, signal } = options
  const work = { scratchDir, signal, limits: INSPECT_LIMITS }
  const { facts, fileSystems } = await lookInto(options, work)
  const tool = new DiskTool({ ...work, path, isWritable: true })
  return { path, facts, fileSystems, tool }
}

/** @throws DaemonError INVALID_INPUT when a rule is asked for that has no remedy here */
function wanted({ rules }: FixOptions, facts: ImageFacts): string[] {
  const unknown = rules?.find((rule) => !REPAIRS.has(rule) && !IN_GUEST.includes(rule) && rule !== SUPERBLOCK)
  if (unknown !== undefined)
    throw new DaemonError(
      'INVALID_INPUT',
      `apply: rule ${JSON.stringify(unknown)} has no remedy that is done here`,
    )
  const broken = judge(facts).findings.filter((finding) => finding.is_fixable)
  return broken.map(({ rule }) => rule).filter((rule) => rules === undefined || rules.includes(rule))
}

async function offline(
  rules: readonly string[],
  disk: Omit<DiskInRepair, 'root'>,
  { onProgress }: FixOptions,
): Promise<string[]> {
  const done: string[] = []
  const editor = rules.some((rule) => REPAIRS.has(rule)) ? editorOf(disk) : undefined
  await editor?.check() // a journal that is replayed later would undo what is done now
  for (const [rule, repair] of REPAIRS) {
    if (!rules.includes(rule)) continue
    onProgress(0.2, rule)
    await repair({ ...disk, root: () => rootOf(disk) })
    done.push(rule)
  }
  await editor?.check()
  return done
}

function editorOf({ facts, fileSystems, tool }: Omit<DiskInRepair, 'root'>): ExtEditor | undefined {
  const found = rootFileSystem(facts, fileSystems)
  if (found?.partition === undefined || !/^ext[234]$/.test(found.type ?? '')) return undefined
  return new ExtEditor(tool, found.partition.startBytes)
}

function rootOf(disk: Omit<DiskInRepair, 'root'>): RootInRepair {
  const { facts, fileSystems } = disk
  const found = rootFileSystem(facts, fileSystems)
  const editor = editorOf(disk)
  if (facts.system === undefined || found?.tree === undefined || found.uuid === undefined)
    throw new DaemonError('WRONG_STATE', 'no root file system was found')
  if (editor === undefined)
    throw new DaemonError(
      'UNSUPPORTED',
      `files of a root on ${found.type ?? 'this'} (${found.where}) cannot be changed`,
    )
  return { system: facts.system, tree: found.tree, editor, uuid: found.uuid }
}

function rootFileSystem(facts: ImageFacts, fileSystems: readonly FileSystem[]): FileSystem | undefined {
  return fileSystems.find(({ where }) => where === facts.system?.where)
}

async function restoreSuperblock(
  disk: Omit<DiskInRepair, 'root'>,
  { onProgress }: FixOptions,
): Promise<void> {
  for (const { partition, lostSuperblock } of disk.fileSystems) {
    if (partition === undefined || lostSuperblock === undefined) continue
    onProgress(0.1, SUPERBLOCK)
    const blockBytes = lostSuperblock === 32768 ? '4096' : '1024'
    await new ExtEditor(disk.tool, partition.startBytes).check(['-b', `${lostSuperblock}`, '-B', blockBytes])
  }
}

async function runRepairGuest(options: FixOptions): Promise<void> {
  const { path, scratchDir, signal } = options
  const { facts, tree } = await lookInto(options, { scratchDir, signal, limits: INSPECT_LIMITS })
  const menu = facts.system?.menu
  if (tree === undefined || menu?.kernelPath === undefined || menu.initrdPath === undefined)
    throw new DaemonError('WRONG_STATE', 'the image has no kernel and initramfs to repair it with')
  const [kernel, initrd] = await Promise.all(
    [menu.kernelPath, menu.initrdPath].map(
      async (file) =>
        (await tree.read(file, KERNEL_LIMIT_BYTES)) ?? (await tree.read(`/boot${file}`, KERNEL_LIMIT_BYTES)),
    ),
  )
  if (kernel === undefined || initrd === undefined)
    throw new DaemonError('WRONG_STATE', 'the image has no kernel and initramfs to repair it with')
  const folder = join(scratchDir, 'packages')
  await runCommand('sh', [join(PLUGINS_DIR, 'package.sh'), folder, ...PLUGINS], {
    timeoutMs: STEP_TIMEOUT_MS,
  })
  const packages = (await readdir(folder))
    .filter((name) => name.endsWith('.deb'))
    .map((name) => join(folder, name))
  await repairInGuest({ path, kernel, initrd, arguments: menu.arguments, packages, scratchDir, signal })
}
