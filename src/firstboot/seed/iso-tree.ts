/** A file to be put on an ISO 9660 volume. */
export interface IsoFile {
  /** Relative, `/` between parts; each part is 1 to 100 of `A-Za-z0-9._-`, not `.` or `..`. */
  readonly path: string
  readonly bytes: Uint8Array
}

/** A file in the tree, with the 8.3 identifier that plain ISO 9660 readers see. */
export interface FileNode {
  readonly kind: 'file'
  readonly name: string
  identifier: string
  readonly bytes: Uint8Array
}

/** A directory in the tree. */
export interface DirectoryNode {
  readonly kind: 'directory'
  readonly name: string
  identifier: string
  /** Sorted by identifier once {@link buildIsoTree} returns (ECMA-119 §9.3). */
  children: IsoNode[]
}

/** A member of a directory. */
export type IsoNode = FileNode | DirectoryNode

const PART = /^[A-Za-z0-9._-]{1,100}$/

/**
 * The directory tree of `files` with level 1 identifiers (ECMA-119 §10.1), unique in each directory.
 * @throws RangeError on a path that breaks the rules of {@link IsoFile} or comes twice: the caller's mistake
 */
export function buildIsoTree(files: readonly IsoFile[]): DirectoryNode {
  const root: DirectoryNode = { kind: 'directory', name: '', identifier: '\0', children: [] }
  for (const file of files) addFile(root, file)
  assignIdentifiers(root)
  return root
}

function addFile(root: DirectoryNode, { path, bytes }: IsoFile): void {
  const parts = path.split('/')
  const name = parts.pop() ?? ''
  if (![...parts, name].every(isPart)) throw new RangeError(`${path}: not a path for an ISO 9660 volume`)
  const directory = parts.reduce(openDirectory, root)
  if (directory.children.some((child) => child.name === name)) throw new RangeError(`${path}: comes twice`)
  directory.children.push({ kind: 'file', name, identifier: '', bytes })
}

function isPart(part: string): boolean {
  return PART.test(part) && part !== '.' && part !== '..'
}

function openDirectory(parent: DirectoryNode, name: string): DirectoryNode {
  const found = parent.children.find((child) => child.name === name)
  if (found?.kind === 'directory') return found
  if (found !== undefined) throw new RangeError(`${name}: both a file and a directory`)
  const directory: DirectoryNode = { kind: 'directory', name, identifier: '', children: [] }
  parent.children.push(directory)
  return directory
}

function assignIdentifiers(directory: DirectoryNode): void {
  const taken = new Set<string>()
  for (const child of directory.children) {
    child.identifier = freeIdentifier(child, taken)
    taken.add(child.identifier)
    if (child.kind === 'directory') assignIdentifiers(child)
  }
  directory.children.sort((a, b) => (a.identifier < b.identifier ? -1 : 1))
}

function freeIdentifier(node: IsoNode, taken: ReadonlySet<string>): string {
  for (let attempt = 0; ; attempt++) {
    const identifier = shortIdentifier(node, attempt === 0 ? '' : String(attempt))
    if (!taken.has(identifier)) return identifier
  }
}

function shortIdentifier(node: IsoNode, suffix: string): string {
  const dot = node.kind === 'file' ? node.name.lastIndexOf('.') : -1
  const stem = dCharacters(dot < 0 ? node.name : node.name.slice(0, dot)).slice(0, 8 - suffix.length)
  if (node.kind === 'directory') return `${stem}${suffix}`
  const extension = dot < 0 ? '' : dCharacters(node.name.slice(dot + 1)).slice(0, 3)
  return `${stem}${suffix}.${extension};1`
}

function dCharacters(text: string): string {
  return text.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')
}
