import { DaemonError } from '../../../errors.js'
import { isAmong } from '../inspect/disk-names.js'
import type { DiskTool } from '../inspect/disk-tool.js'
import type { ImageFacts, SystemFacts } from '../inspect/facts.js'
import type { FileSystem } from '../inspect/file-systems.js'
import { readText, type FileTree } from '../inspect/file-tree.js'
import { isEsp } from '../inspect/partition-table.js'
import { writeBackupGpt } from './backup-gpt.js'
import type { ExtEditor } from './ext-editor.js'
import { writeFallbackLoader } from './fallback-loader.js'
import { withGrubRoot, withKernelRoot, withStableNames, type RootNames } from './text-edits.js'

/** A copy of an image that repairs may change, and what an inspection said of it. */
export interface DiskInRepair {
  readonly path: string
  readonly facts: ImageFacts
  readonly fileSystems: readonly FileSystem[]
  /** It may write. */
  readonly tool: DiskTool
  /** Changes of the root file system. @throws DaemonError UNSUPPORTED where it is not ext */
  readonly root: () => RootInRepair
}

/** The root file system. */
export interface RootInRepair {
  readonly system: SystemFacts
  readonly tree: FileTree
  readonly editor: ExtEditor
  readonly uuid: string
}

/** Does the remedy of one rule, offline. */
export type Repair = (disk: DiskInRepair) => Promise<void>

const MENU_LIMIT_BYTES = 1 << 20
/** Read after every other drop-in of cloud-init. */
const DATASOURCES = '/etc/cloud/cloud.cfg.d/99-ingot-datasource.cfg'

/** What is done for each rule without starting anything of the image, in this order. */
export const REPAIRS: ReadonlyMap<string, Repair> = new Map<string, Repair>([
  ['backup-gpt', ({ path, facts }) => writeBackupGpt(path, facts.sizeBytes)],
  ['fallback-loader', fallbackLoader],
  ['grub-root', grubRoot],
  ['kernel-root', (disk) => editMenu(disk, withKernelRoot)],
  [
    'fstab',
    async (disk) => {
      const { editor, tree } = disk.root()
      const text = (await readText(tree, '/etc/fstab')) ?? ''
      await editor.write('/etc/fstab', withStableNames(text, namesOf(disk)))
    },
  ],
  [
    'datasource',
    (disk) =>
      disk.root().editor.write(DATASOURCES, 'datasource_list: [ NoCloud, ConfigDrive, OpenStack, None ]\n'),
  ],
  [
    'machine-id',
    async (disk) => {
      const { editor } = disk.root()
      await editor.write('/etc/machine-id', '', '0444')
      await editor.remove('/var/lib/dbus/machine-id')
    },
  ],
  [
    'host-keys',
    async (disk) => {
      const { editor, system } = disk.root()
      for (const name of system.identity.hostKeys)
        for (const file of [name, `${name}.pub`]) await editor.remove(`/etc/ssh/${file}`)
    },
  ],
  [
    'initiator-name',
    (disk) => disk.root().editor.write('/etc/iscsi/initiatorname.iscsi', 'GenerateName=yes\n', '0600'),
  ],
])

async function fallbackLoader({ facts, fileSystems, tool, root }: DiskInRepair): Promise<void> {
  const esp = fileSystems.find(({ partition, tree }) => partition && isEsp(partition) && tree !== undefined)
  if (esp?.tree === undefined || esp.partition === undefined)
    throw new DaemonError('WRONG_STATE', 'the EFI system partition cannot be read')
  const { loaders } = facts.firmware
  // Only a loader of our own needs to know the root, which need not be ext as long as the vendor's is there.
  const menu = loaders.length > 0 ? undefined : { uuid: root().uuid, path: menuPath(root()) }
  await writeFallbackLoader({ tool, esp: esp.tree, espStartBytes: esp.partition.startBytes, loaders, menu })
}

/** A loader that has its search built in looks for a label: the root gets it. Otherwise the menu is told anew. */
async function grubRoot(disk: DiskInRepair): Promise<void> {
  const { system, editor } = disk.root()
  const lost = (system.menu?.searches ?? []).filter((source) => isAmong(source, disk.fileSystems) === false)
  const label = lost
    .map((source) => /^LABEL=([A-Za-z0-9_.-]{1,16})$/.exec(source)?.[1])
    .find((found) => found !== undefined)
  if (label === undefined) await editMenu(disk, withGrubRoot)
  else await editor.setLabel(label)
}

async function editMenu(disk: DiskInRepair, edit: (text: string, names: RootNames) => string): Promise<void> {
  const root = disk.root()
  const path = menuPath(root)
  const text = await readText(root.tree, path, MENU_LIMIT_BYTES)
  if (text === undefined) throw new DaemonError('WRONG_STATE', `${path} is not on the root file system`)
  await root.editor.write(path, edit(text, namesOf(disk)))
}

function menuPath({ system }: RootInRepair): string {
  if (system.menu === undefined) throw new DaemonError('WRONG_STATE', 'there is no menu to change')
  return system.menu.path
}

function namesOf(disk: DiskInRepair): RootNames {
  const numbered = disk.fileSystems.flatMap(({ partition, uuid }) =>
    partition === undefined || uuid === undefined ? [] : [[partition.number, `UUID=${uuid}`] as const],
  )
  return {
    root: `UUID=${disk.root().uuid}`,
    byPartition: new Map(numbered),
    isThere: (source) => isAmong(source, disk.fileSystems),
  }
}
