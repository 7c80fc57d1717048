/** Strangers' MACs are looked up too: when there are more, all are forgotten. */
const MOST_KEYS = 65_536

/**
 * Remembers what `find` gave for a key until `revision` says something else. For answers of the registry that are
 * asked for again with every packet of a machine.
 */
export function cachedLookup<T>(find: (key: string) => T, revision: () => number): (key: string) => T {
  const found = new Map<string, T>()
  let foundAt = revision()
  return (key) => {
    const now = revision()
    if (now !== foundAt || found.size >= MOST_KEYS) found.clear()
    foundAt = now
    const before = found.get(key)
    if (before !== undefined || found.has(key)) return before as T // what `find` gave
    const value = find(key)
    found.set(key, value)
    return value
  }
}
