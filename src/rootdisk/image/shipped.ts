import { existsSync } from 'node:fs'
import path from 'node:path'

/** The folder `name` of this package, wherever the program runs from (src or dist/src). */
export function shippedFolder(name: string): string {
  let folder = import.meta.dirname
  while (!existsSync(path.join(folder, 'package.json')) && folder !== path.dirname(folder)) {
    folder = path.dirname(folder)
  }
  return path.join(folder, name)
}

/** What goes into images: `plugins/NAME`, and the script that packages them. */
export const PLUGINS_DIR = shippedFolder('plugins')
