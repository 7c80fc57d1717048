/**
 * In which line of a TOML text each key stands (`subnet.cidr`, `subnet[1].cidr` from 0), 1 when nowhere; a key inside
 * an inline table is found at that table, a missing one at its section.
 */
export function lineLocator(text: string): (path: string) => number {
  const lines = new Map<string, number>()
  const arrays = new Map<string, number>()
  let table = ''
  const note = (path: string, index: number): void => {
    if (!lines.has(path)) lines.set(path, index + 1)
  }
  for (const [index, line] of text.split('\n').entries()) {
    const [, bracket, title] = /^\s*(\[{1,2})\s*([^\][]+?)\s*\]/.exec(line) ?? []
    if (title !== undefined) {
      const name = unquoted(title)
      table = bracket === '[[' ? numbered(name, arrays) : name
      note(name, index)
      note(table, index)
    }
    const key = /^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=/.exec(line)?.[1]
    if (key !== undefined) note([table, unquoted(key)].filter(Boolean).join('.'), index)
  }
  return (path) => {
    const parts = path.split('.')
    for (let count = parts.length; count > 0; count--) {
      const part = parts.slice(0, count).join('.')
      const line = lines.get(part) ?? lines.get(part.replace(/\[\d+\]$/, ''))
      if (line !== undefined) return line
    }
    return 1
  }
}

function numbered(name: string, arrays: Map<string, number>): string {
  const count = arrays.get(name) ?? 0
  arrays.set(name, count + 1)
  return `${name}[${count}]`
}

function unquoted(key: string): string {
  return key
    .split('.')
    .map((part) => part.trim().replace(/^(["'])(.*)\1$/, '$2'))
    .join('.')
}
