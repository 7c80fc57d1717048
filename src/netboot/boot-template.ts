import { readFile } from 'node:fs/promises'
import { DaemonError } from '../errors.js'

const PLACEHOLDER = /\{\{(\w+):(\w+)\}\}/g
/** Comments stay here: they cost the firmware time and tell it nothing. */
const COMMENT = /^#(?!!).*\n/gm

/**
 * One of the texts of `boot/`, with `{{name:form}}` where values go, without its comments.
 * @param isKnown whether there is such a value, and it may be written in that form
 * @throws DaemonError CONFIG_INVALID when it cannot be read or has a placeholder that is not known
 */
export async function readBootTemplate(
  path: string,
  isKnown: (name: string, form: string) => boolean,
): Promise<string> {
  const file = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new DaemonError('CONFIG_INVALID', `boot template ${path} cannot be read`, { cause })
  })
  const text = file.replace(COMMENT, '')
  for (const [whole, name = '', form = ''] of text.matchAll(PLACEHOLDER)) {
    if (!isKnown(name, form))
      throw new DaemonError('CONFIG_INVALID', `boot template ${path}: unknown placeholder ${whole}`)
  }
  return text
}

/** A template with what `write` makes of each placeholder. */
export function fillBootTemplate(template: string, write: (name: string, form: string) => string): string {
  return template.replace(PLACEHOLDER, (_whole, name: string, form: string) => write(name, form))
}
