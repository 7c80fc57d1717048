import { ec2MetaData, type Ec2Tree } from '../seed/ec2-documents.js'
import type { SeedInput } from '../seed/seed-input.js'
import { renderSeed, type SeedFiles } from '../seed/seed.js'
import { ec2HttpTree } from './ec2-http-tree.js'

/** What a path says. */
export interface Page {
  readonly bytes: Uint8Array
  /** Media type. */
  readonly type: string
}

/** Every page of one server by path, without slashes at its ends: `` is the root, `latest/meta-data` a listing. */
export type Pages = ReadonlyMap<string, Page>

/**
 * Versions of EC2's metadata over HTTP: the one every reader knows, and those that cloud-init asks for first (22.4.2,
 * DataSourceEc2.py, extended_metadata_versions). Each has the same pages.
 */
export const EC2_HTTP_VERSIONS = ['2009-04-04', '2016-09-02', '2018-09-24', '2021-03-23', 'latest'] as const

const TEXT = 'text/plain; charset=utf-8'
/** The version of OpenStack that brought the password (Nova, api/metadata/base.py, GRIZZLY). */
const PASSWORD_SINCE = '2013-04-04'
/** In the order of Nova's listings (api/metadata/base.py, lookup). */
const DOCUMENT_ORDER = [
  'meta_data.json',
  'user_data',
  'password',
  'vendor_data.json',
  'network_data.json',
  'vendor_data2.json',
]

/** Where the password of a server is read and written. */
export const PASSWORD_PATH = /^openstack\/[0-9a-z-]+\/password$/

/** The pages of a server in the forms of OpenStack, EC2 and NoCloud: the same bytes as on its seed disk. */
export function metadataPages(input: SeedInput, sealedPassword: string | undefined): Pages {
  const seed = renderSeed(input)
  const pages = new Map<string, Page>()
  addOpenStack(pages, seed, sealedPassword ?? '')
  addEc2(pages, seed, ec2HttpTree(input, ec2MetaData(input)))
  for (const { path, bytes } of seed.noCloud) pages.set(`nocloud/${path}`, { bytes, type: TEXT })
  pages.set('nocloud', listing(seed.noCloud.map(({ path }) => path)))
  return pages
}

/** The page's path that a request's target means: its query and one slash at its end say nothing. */
export function pagePath(target: string): string | undefined {
  const [path = ''] = target.split('?')
  if (!path.startsWith('/')) return undefined
  try {
    return decodeURIComponent(path.slice(1, path.length > 1 && path.endsWith('/') ? -1 : undefined))
  } catch {
    return undefined // a broken percent sequence
  }
}

function addOpenStack(pages: Map<string, Page>, { configDrive }: SeedFiles, password: string): void {
  const namesOf = new Map<string, string[]>()
  for (const { path, bytes } of configDrive) {
    const [top, version = '', name = ''] = path.split('/')
    if (top !== 'openstack') continue
    pages.set(path, { bytes, type: typeOf(name) })
    namesOf.set(version, [...(namesOf.get(version) ?? []), name])
  }
  pages.set('openstack', listing([...namesOf.keys()]))
  for (const [version, names] of namesOf) {
    const hasPassword = version >= PASSWORD_SINCE // `latest` sorts after every date
    if (hasPassword) pages.set(`openstack/${version}/password`, textPage(password))
    const all = hasPassword ? [...names, 'password'] : names
    pages.set(
      `openstack/${version}`,
      listing(all.sort((a, b) => DOCUMENT_ORDER.indexOf(a) - DOCUMENT_ORDER.indexOf(b))),
    )
  }
}

function addEc2(pages: Map<string, Page>, { configDrive }: SeedFiles, tree: Ec2Tree): void {
  const userData = configDrive.find(({ path }) => path === 'ec2/latest/user-data')?.bytes
  pages.set('', listing(EC2_HTTP_VERSIONS))
  for (const version of EC2_HTTP_VERSIONS) {
    pages.set(version, listing(['meta-data/', ...(userData === undefined ? [] : ['user-data'])]))
    if (userData !== undefined)
      pages.set(`${version}/user-data`, { bytes: userData, type: typeOf('user-data') })
    addTree(pages, `${version}/meta-data`, tree)
  }
}

// Folders end in a slash, but for those with a name of their own: `public-keys/` lists `0=NAME`, which is at `0/`.
function addTree(pages: Map<string, Page>, path: string, tree: Ec2Tree): void {
  const entries = Object.entries(tree).filter(([name]) => name !== '_name')
  const names = entries.map(([name, value]) => {
    if (typeof value === 'string') return name
    return typeof value['_name'] === 'string' ? value['_name'] : `${name}/`
  })
  pages.set(path, listing(names.toSorted()))
  for (const [name, value] of entries) {
    if (typeof value === 'string') pages.set(`${path}/${name}`, textPage(value))
    else addTree(pages, `${path}/${name}`, value)
  }
}

function typeOf(name: string): string {
  if (name.endsWith('.json')) return 'application/json'
  return name === 'user_data' || name === 'user-data' ? 'application/octet-stream' : TEXT
}

function listing(names: readonly string[]): Page {
  return textPage(names.join('\n'))
}

function textPage(text: string): Page {
  return { bytes: Buffer.from(text), type: TEXT }
}
