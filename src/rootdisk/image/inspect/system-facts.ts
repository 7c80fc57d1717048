import type { CloudInitFacts, IdentityFacts, OsFacts, PluginFacts } from './facts.js'
import { harmless, readText, type FileTree } from './file-tree.js'

const MAX_DROP_INS = 64
const MAX_PLUGINS = 16
/** A server with two thousand packages has 2 MiB. */
const STATUS_LIMIT_BYTES = 16 << 20
const PACKAGE_PREFIX = 'ingot-'

/** os-release(5): /etc first, then /usr/lib. */
export async function readOs(tree: FileTree): Promise<OsFacts | undefined> {
  const text = (await readText(tree, '/etc/os-release')) ?? (await readText(tree, '/usr/lib/os-release'))
  if (text === undefined) return undefined
  const fields = shellFields(text)
  const id = fields.get('ID') ?? 'linux'
  return { id, version: fields.get('VERSION_ID') ?? '', name: fields.get('PRETTY_NAME') ?? id }
}

/** Versions of installed packages by name (dpkg's status file); empty without dpkg. */
export async function readPackages(tree: FileTree): Promise<ReadonlyMap<string, string>> {
  const text = (await readText(tree, '/var/lib/dpkg/status', STATUS_LIMIT_BYTES)) ?? ''
  const packages = new Map<string, string>()
  for (const stanza of text.split('\n\n')) {
    const [, name] = /^Package: (\S+)$/m.exec(stanza) ?? []
    const [, version] = /^Version: (\S+)$/m.exec(stanza) ?? []
    if (name !== undefined && version !== undefined && /^Status: \S+ \S+ installed$/m.test(stanza))
      packages.set(name, harmless(version))
  }
  return packages
}

/** Plug-ins by their packages, or by the file that their install script leaves. */
export async function readPlugins(
  tree: FileTree,
  packages: ReadonlyMap<string, string>,
): Promise<PluginFacts[]> {
  const found = new Map<string, string>()
  const files = (await tree.list('/usr/lib/ingot/plugins')).filter(({ kind }) => kind === 'file')
  for (const { name } of files.slice(0, MAX_PLUGINS)) {
    const version = (await readText(tree, `/usr/lib/ingot/plugins/${name}`))?.trim() ?? ''
    found.set(harmless(name), harmless(version))
  }
  for (const [name, version] of packages)
    if (name.startsWith(PACKAGE_PREFIX)) found.set(name.slice(PACKAGE_PREFIX.length), version)
  return [...found].map(([name, version]) => ({ name, version }))
}

/** cloud-init's version and what its configuration lets it read. */
export async function readCloudInit(
  tree: FileTree,
  packages: ReadonlyMap<string, string>,
): Promise<CloudInitFacts | undefined> {
  const programs = await tree.list('/usr/bin')
  if (!programs.some(({ name }) => name === 'cloud-init')) return undefined
  const names = (await tree.list('/etc/cloud/cloud.cfg.d')).map(({ name }) => name)
  const dropIns = names.filter((name) => name.endsWith('.cfg')).sort()
  let datasources: readonly string[] | undefined
  for (const path of [
    '/etc/cloud/cloud.cfg',
    ...dropIns.slice(0, MAX_DROP_INS).map((name) => `/etc/cloud/cloud.cfg.d/${name}`),
  ])
    datasources = datasourceList((await readText(tree, path)) ?? '') ?? datasources
  const isDisabled = (await tree.list('/etc/cloud')).some(({ name }) => name === 'cloud-init.disabled')
  return { version: packages.get('cloud-init') ?? '', datasources, isDisabled }
}

/** The words of `datasource_list: [ A, B ]`, or of a list of lines; undefined without one. */
export function datasourceList(text: string): string[] | undefined {
  const [, flow, block] =
    /^datasource_list:[ \t]*(?:\[([^\]]*)\]|(?:#.*)?\n((?:[ \t]*-[^\n]*\n?)+))/m.exec(text) ?? []
  const words = flow?.split(',') ?? block?.split('\n').map((line) => line.replace(/^[ \t]*-/, ''))
  return words?.map((word) => harmless(word.trim().replaceAll(/["']/g, ''))).filter((word) => word !== '')
}

/** What every clone would have alike. */
export async function readIdentity(tree: FileTree): Promise<IdentityFacts> {
  const machineId = ((await readText(tree, '/etc/machine-id')) ?? '').trim()
  const keys = (await tree.list('/etc/ssh')).filter(({ name }) => /^ssh_host_\w+_key$/.test(name))
  const initiator = (await readText(tree, '/etc/iscsi/initiatorname.iscsi')) ?? ''
  const isOwn = machineId === '' || machineId === 'uninitialized'
  const name = /^\s*InitiatorName=(\S+)/m.exec(initiator)?.[1]
  return {
    machineId: isOwn ? undefined : harmless(machineId),
    hostKeys: keys.map((entry) => entry.name),
    initiatorName: name === undefined ? undefined : harmless(name),
  }
}

function shellFields(text: string): Map<string, string> {
  const lines = text.split('\n', 200).map((line) => /^([A-Z_]+)=["']?(.*?)["']?$/.exec(line.trim()))
  return new Map(
    lines.flatMap((found) => (found === null ? [] : [[found[1] ?? '', harmless(found[2] ?? '')] as const])),
  )
}
