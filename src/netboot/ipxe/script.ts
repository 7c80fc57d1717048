import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DaemonError } from '../../errors.js'
import { bootUrl, decideScript, type BootPolicy, type BootTarget } from '../decide.js'
import { scriptValue, type ScriptForm } from './script-value.js'

const SCRIPTS = ['server', 'local', 'unknown'] as const

/** The texts of `boot/*.ipxe`, by script name, checked and without their comments. */
export type ScriptTemplates = Readonly<Record<(typeof SCRIPTS)[number], string>>

/** A script and the reason it is that one. */
export interface RenderedScript {
  readonly text: string
  readonly script: 'server' | 'local' | 'unknown'
  readonly reason: string
}

const PLACEHOLDER = /\{\{(\w+):(\w+)\}\}/g
const FORMS: ReadonlySet<string> = new Set<ScriptForm>(['bytes', 'text', 'uri'])
const VALUE_NAMES: ReadonlySet<string> = new Set([
  'serverName',
  'iqn',
  'initiatorIqn',
  'chapUser',
  'chapSecret',
  'portalAddress',
  'portalPort',
  'systemLun',
])

/**
 * Reads `server.ipxe`, `local.ipxe` and `unknown.ipxe` from `directory`.
 * @throws DaemonError CONFIG_INVALID when one is no iPXE script or has a placeholder we do not know
 */
export async function loadScriptTemplates(directory: string): Promise<ScriptTemplates> {
  const [server, local, unknown] = await Promise.all(
    SCRIPTS.map(async (name) => checkedTemplate(name, await readTemplate(join(directory, `${name}.ipxe`)))),
  )
  return { server: server ?? '', local: local ?? '', unknown: unknown ?? '' }
}

/**
 * The script for `target` (undefined: a machine that no server has).
 * @param policy where the machine reaches us
 */
export function renderScript(
  templates: ScriptTemplates,
  target: BootTarget | undefined,
  policy: Pick<BootPolicy, 'address' | 'httpPort'>,
): RenderedScript {
  const choice = decideScript(target)
  const values = target === undefined ? {} : valuesOf(target)
  const reportUrl = target === undefined ? '' : bootUrl(policy, target.bootToken)
  const text = templates[choice.script].replace(PLACEHOLDER, (_whole, name: string, form: string) =>
    form === 'url' ? reportUrl : scriptValue(values[name] ?? '', form as ScriptForm),
  )
  return { text, ...choice }
}

function valuesOf(target: BootTarget): Record<string, string> {
  return {
    serverName: target.serverName,
    iqn: target.iqn,
    initiatorIqn: target.initiatorIqn,
    chapUser: target.chapUser,
    chapSecret: target.chapSecret,
    portalAddress: target.portalAddress,
    portalPort: String(target.portalPort),
    systemLun: target.systemLun.toString(16), // RFC 4173 §5: hexadecimal
  }
}

async function readTemplate(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (err) {
    throw new DaemonError('CONFIG_INVALID', `boot script ${path} cannot be read`, { cause: err })
  }
}

function checkedTemplate(name: string, file: string): string {
  const text = file.replace(/\n#.*/g, '') // comments stay here: they cost the firmware time and tell it nothing
  if (!text.startsWith('#!ipxe\n')) {
    throw new DaemonError('CONFIG_INVALID', `boot script ${name}.ipxe does not begin with #!ipxe`)
  }
  for (const [whole, value = '', form = ''] of text.matchAll(PLACEHOLDER)) {
    const isKnown = form === 'url' ? value === 'reportUrl' : FORMS.has(form) && VALUE_NAMES.has(value)
    if (!isKnown)
      throw new DaemonError('CONFIG_INVALID', `boot script ${name}.ipxe: unknown placeholder ${whole}`)
  }
  return text
}
