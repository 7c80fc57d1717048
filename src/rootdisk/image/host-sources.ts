import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'

/**
 * The building host's own Debian mirrors for `suite` as one-line apt sources, in file order, without repeats.
 * Empty when the host has none (another release, another distribution). sources.list(5).
 */
export async function hostSources(suite: string, aptDir = '/etc/apt'): Promise<string[]> {
  const folder = path.join(aptDir, 'sources.list.d')
  const extra = await readdir(folder).catch(() => [])
  const files = [path.join(aptDir, 'sources.list'), ...extra.sort().map((name) => path.join(folder, name))]
  const lines: string[] = []
  for (const file of files) {
    const text = await readFile(file, 'utf8').catch(() => '')
    if (file.endsWith('.sources')) lines.push(...fromDeb822(text, suite))
    else if (file.endsWith('.list')) lines.push(...fromOneLine(text, suite))
  }
  return [...new Set(lines)]
}

/** Stanzas of a `.sources` file that serve `suite`, as one-line entries. */
export function fromDeb822(text: string, suite: string): string[] {
  return text
    .split(/\n\s*\n/)
    .map(stanzaFields)
    .filter((fields) => fields.get('enabled') !== 'no' && words(fields, 'types').includes('deb'))
    .flatMap((fields) => stanzaLines(fields, suite))
}

/** Lines of a `.list` file that serve `suite`, as they are but for comments. */
export function fromOneLine(text: string, suite: string): string[] {
  return text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => {
      const [, , found = '', ...components] = line.replace(/\[[^\]]*\]\s*/, '').split(/\s+/)
      return /^deb\s/.test(line) && isPartOf(found, suite) && components.includes('main')
    })
}

function stanzaLines(fields: ReadonlyMap<string, string>, suite: string): string[] {
  if (!words(fields, 'components').includes('main')) return []
  const [keyring] = words(fields, 'signed-by')
  const option = keyring?.startsWith('/') === true ? `[signed-by=${keyring}] ` : ''
  const suites = words(fields, 'suites').filter((found) => isPartOf(found, suite))
  return words(fields, 'uris').flatMap((uri) => suites.map((found) => `deb ${option}${uri} ${found} main`))
}

function stanzaFields(stanza: string): Map<string, string> {
  const fields = new Map<string, string>()
  let name = ''
  for (const line of stanza.split('\n')) {
    if (line.startsWith('#')) continue
    const [, key, value = ''] = /^([A-Za-z-]+):(.*)$/.exec(line) ?? []
    name = key?.toLowerCase() ?? name
    const before = key === undefined ? `${fields.get(name) ?? ''} ` : ''
    fields.set(name, before + (key === undefined ? line : value).trim())
  }
  return fields
}

function words(fields: ReadonlyMap<string, string>, name: string): string[] {
  return (fields.get(name) ?? '').split(/\s+/).filter((word) => word !== '')
}

/** Third-party suites (`bookworm-pgdg`) are none of the image's business. */
function isPartOf(found: string, suite: string): boolean {
  return [suite, `${suite}-updates`, `${suite}-security`].includes(found)
}
