import { MalformedPacket } from '../../../wire/malformed-packet.js'
import { ASKED_DRIVERS, type InitramfsFacts, type KernelFacts, type MenuFacts } from './facts.js'
import { harmless, readText, type FileTree } from './file-tree.js'
import { parseBlsEntry, parseGrubConfig, type BootEntry, type GrubMenu } from './grub-menu.js'
import { readInitramfs, type Initramfs, type UnpackOptions } from './initramfs.js'

/** A menu as it lies on the disk: the files that it names, where the tree has them. */
export interface FoundMenu {
  readonly facts: MenuFacts
  readonly initrd: string | undefined
}

const MENUS = ['/boot/grub/grub.cfg', '/boot/grub2/grub.cfg', '/grub/grub.cfg', '/grub2/grub.cfg'] as const
const MENU_LIMIT_BYTES = 1 << 20
const INITRD_LIMIT_BYTES = 512 << 20
/** modules.dep of a kernel with all its drivers: 0.7 MiB. */
const MODULES_LIMIT_BYTES = 8 << 20
const MAX_KERNELS = 16

/** The menu that GRUB would show, and its first entry. */
export async function readMenu(
  tree: FileTree,
  searchedByLoader: readonly string[],
): Promise<FoundMenu | undefined> {
  for (const path of MENUS) {
    const text = await readText(tree, path, MENU_LIMIT_BYTES)
    if (text === undefined) continue
    const menu = parseGrubConfig(text)
    const entry = menu.isBls ? await blsEntry(tree, menu) : menu.entry
    const searches = [...new Set([...searchedByLoader, ...menu.searches.map(harmless)])]
    return await foundMenu(tree, { path, searches, entry })
  }
  return undefined
}

async function foundMenu(
  tree: FileTree,
  { path, searches, entry }: { path: string; searches: readonly string[]; entry: BootEntry | undefined },
): Promise<FoundMenu> {
  const kernel = entry && (await inTree(tree, entry.kernel))
  const [initrdPath] = (entry?.initrds ?? []).slice(-1)
  const initrd = initrdPath === undefined ? undefined : await inTree(tree, initrdPath)
  return {
    initrd,
    facts: {
      path,
      searches,
      arguments: (entry?.arguments ?? []).map(harmless),
      kernelPath: entry && harmless(entry.kernel),
      hasKernel: kernel !== undefined,
      initrdPath: initrdPath && harmless(initrdPath),
      hasInitrd: initrd !== undefined,
    },
  }
}

async function blsEntry(tree: FileTree, menu: GrubMenu): Promise<BootEntry | undefined> {
  const names = (await tree.list('/boot/loader/entries')).map(({ name }) => name)
  const newest = names
    .filter((name) => name.endsWith('.conf') && !name.includes('rescue'))
    .sort()
    .at(-1)
  const text = newest === undefined ? undefined : await readText(tree, `/boot/loader/entries/${newest}`)
  return text === undefined ? menu.entry : parseBlsEntry(text)
}

/** GRUB's paths begin at its own root: /boot where that is a file system of its own. */
async function inTree(tree: FileTree, path: string): Promise<string | undefined> {
  for (const candidate of [path, `/boot${path}`]) {
    const bytes = await tree.read(candidate, INITRD_LIMIT_BYTES)
    if (bytes !== undefined && bytes.length > 0) return candidate
  }
  return undefined
}

/** The modules of the kernel that the menu starts; the newest where it does not say which. */
export async function readKernel(
  tree: FileTree,
  menu: MenuFacts | undefined,
): Promise<KernelFacts | undefined> {
  const versions: string[] = []
  for (const { name } of (await tree.list('/lib/modules')).filter(({ kind }) => kind === 'directory')) {
    const names = (await tree.list(`/lib/modules/${name}`)).map((entry) => entry.name)
    if (names.includes('modules.dep') && versions.length < MAX_KERNELS) versions.push(name)
  }
  const newest = versions.toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1)
  const version = versions.find((name) => menu?.kernelPath?.endsWith(`-${name}`) === true) ?? newest
  if (version === undefined) return undefined
  const [loadable, builtin] = await Promise.all(
    ['modules.dep', 'modules.builtin'].map((file) =>
      readText(tree, `/lib/modules/${version}/${file}`, MODULES_LIMIT_BYTES),
    ),
  )
  const paths = [
    ...(loadable ?? '').split('\n').map((line) => line.replace(/:.*/, '')),
    ...(builtin ?? '').split('\n'),
  ]
  return { version: harmless(version), drivers: driversIn(paths) }
}

/** Unpacks what the menu's first entry hands to the kernel. */
export async function inspectInitramfs(
  tree: FileTree,
  path: string,
  { builtin, arguments: args }: { builtin: readonly string[]; arguments: readonly string[] },
  options: UnpackOptions,
): Promise<InitramfsFacts> {
  const bytes = await tree.read(path, INITRD_LIMIT_BYTES)
  if (bytes === undefined) return { damage: 'it cannot be read' }
  try {
    const initramfs = await readInitramfs(bytes, options)
    const names = [...initramfs.names]
    const inside = driversIn(names)
    return {
      drivers: ASKED_DRIVERS.filter((driver) => inside.includes(driver) || builtin.includes(driver)),
      hasIscsistart: names.some((name) => /(^|\/)iscsistart$/.test(name)),
      startsIscsi: startsIscsi(initramfs, args),
      maker: names.some((name) => name.startsWith('usr/lib/dracut')) ? 'dracut' : 'initramfs-tools',
    }
  } catch (err) {
    if (err instanceof MalformedPacket) return { damage: harmless(err.message) }
    throw err
  }
}

/** Drivers that the kernel has in itself: never in an initramfs, and never missed there. */
export async function builtinDrivers(tree: FileTree, version: string): Promise<string[]> {
  const text = await readText(tree, `/lib/modules/${version}/modules.builtin`, MODULES_LIMIT_BYTES)
  return driversIn((text ?? '').split('\n'))
}

/**
 * open-iscsi's script for initramfs-tools logs in from the iBFT with ISCSI_AUTO; dracut's does with rd.iscsi.firmware
 * (dracut.cmdline(7)), or by itself where systemd finds an iBFT; an init of one's own calls iscsistart -b.
 */
function startsIscsi({ names, texts }: Initramfs, args: readonly string[]): boolean {
  if (
    args.some((word) =>
      /^(iscsi_auto|ISCSI_AUTO|rd\.iscsi\.(firmware|ibft)(=1)?|netroot=iscsi.*)$/.test(word),
    )
  )
    return true
  const own = [...texts].filter(([name]) => name !== 'scripts/local-top/iscsi').map(([, text]) => text)
  if (names.has('scripts/local-top/iscsi'))
    return own.some((text) => /^[^#\n]*\bISCSI_AUTO=(true|1|yes)/m.test(text))
  return own.some((text) => /^[^#\n]*\biscsistart\b.* (-b|--fwparam_connect)\b/m.test(text))
}

/** Which of the asked drivers are among module paths (`kernel/drivers/net/virtio_net.ko.xz`); kmod knows `-` as `_`. */
function driversIn(paths: readonly string[]): string[] {
  const found = new Set(
    paths.map((path) => /([^/]+)\.ko(?:\.\w+)?$/.exec(path)?.[1]?.replaceAll('-', '_') ?? ''),
  )
  return ASKED_DRIVERS.filter((driver) => found.has(driver))
}
