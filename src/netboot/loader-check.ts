import type { EmitEvent } from '../events.js'
import type { Service } from '../service.js'
import type { BootFiles } from './boot-files.js'
import type { LoaderTable } from './loader-table.js'

/** Says at the start, in one event, which loaders of the table are not in the loader directories. */
export function loaderCheck(loaders: LoaderTable, files: BootFiles, emit: EmitEvent): Service {
  return {
    name: 'loader-check',
    start: async () => {
      const missing = await missingLoaders(loaders, files)
      if (missing.size === 0) return
      const list = [...missing].map(([file, names]) => `${file} (${names.join(', ')})`).join('; ')
      emit({ kind: 'boot.loader-missing', message: `loaders not in the loader directories: ${list}` })
    },
    stop: () => Promise.resolve(),
  }
}

/** The files of the table that cannot be opened, each with the names of the architectures that need it. */
export async function missingLoaders(
  loaders: LoaderTable,
  files: BootFiles,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const missing = new Map<string, string[]>()
  for (const { file, name } of loaders.values()) {
    if (file === undefined) continue
    const names = missing.get(file)
    if (names !== undefined) names.push(name)
    else if (!(await isThere(file, files))) missing.set(file, [name])
  }
  return missing
}

async function isThere(name: string, files: BootFiles): Promise<boolean> {
  const file = await files.open(name)
  await file?.close()
  return file !== undefined
}
