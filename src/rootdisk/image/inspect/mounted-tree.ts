import type { FileTree, TreeEntry, TreeProblem } from './file-tree.js'

/** A root file system with others in its directories, as fstab(5) has them: one tree to look things up in. */
export class MountedTree implements FileTree {
  readonly #root: FileTree
  /** Longest first. */
  readonly #mounts: readonly (readonly [path: string, tree: FileTree])[]

  constructor(root: FileTree, mounts: ReadonlyMap<string, FileTree>) {
    this.#root = root
    this.#mounts = [...mounts].toSorted(([a], [b]) => b.length - a.length)
  }

  get problems(): readonly TreeProblem[] {
    const trees = new Set([this.#root, ...this.#mounts.map(([, tree]) => tree)])
    return [...trees].flatMap(({ problems }) => problems)
  }

  list(path: string): Promise<readonly TreeEntry[]> {
    const [tree, inside] = this.#at(path)
    return tree.list(inside)
  }

  read(path: string, limitBytes?: number): Promise<Uint8Array | undefined> {
    const [tree, inside] = this.#at(path)
    return tree.read(inside, limitBytes)
  }

  #at(path: string): [FileTree, string] {
    const mount = this.#mounts.find(([at]) => path === at || path.startsWith(`${at}/`))
    return mount === undefined ? [this.#root, path] : [mount[1], path.slice(mount[0].length) || '/']
  }
}
