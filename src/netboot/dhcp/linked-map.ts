interface Node<V> {
  readonly key: number
  readonly value: V
  before: Node<V> | undefined
  after: Node<V> | undefined
}

/**
 * A map in order of insertion whose oldest entry is found at once. A plain `Map` is not enough: iterating one
 * steps over every deleted slot, and with 65,536 addresses taken from the front that was 0.1 ms per question.
 */
export class LinkedMap<V> {
  readonly #nodes = new Map<number, Node<V>>()
  #first: Node<V> | undefined
  #last: Node<V> | undefined

  get size(): number {
    return this.#nodes.size
  }

  /** The entry that was set longest ago. */
  get oldest(): { readonly key: number; readonly value: V } | undefined {
    return this.#first
  }

  has(key: number): boolean {
    return this.#nodes.has(key)
  }

  get(key: number): V | undefined {
    return this.#nodes.get(key)?.value
  }

  /** Sets `key` as the newest entry, even if it was there. */
  set(key: number, value: V): void {
    this.delete(key)
    const node: Node<V> = { key, value, before: this.#last, after: undefined }
    if (this.#last === undefined) this.#first = node
    else this.#last.after = node
    this.#last = node
    this.#nodes.set(key, node)
  }

  delete(key: number): boolean {
    const node = this.#nodes.get(key)
    if (node === undefined) return false
    if (node.before === undefined) this.#first = node.after
    else node.before.after = node.after
    if (node.after === undefined) this.#last = node.before
    else node.after.before = node.before
    return this.#nodes.delete(key)
  }
}
