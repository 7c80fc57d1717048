import { join } from 'node:path'
import { DaemonError } from '../../errors.js'
import { fillBootTemplate, readBootTemplate } from '../boot-template.js'
import { bootUrl, decideScript, type BootPolicy, type BootTarget } from '../decide.js'
import { scriptValue, type ScriptForm } from './script-value.js'

const SCRIPTS = ['server', 'rescue', 'local', 'stopped', 'unknown'] as const

/** One of `boot/*.ipxe`. */
type ScriptName = (typeof SCRIPTS)[number]

/** The texts of `boot/*.ipxe`, by script name, checked and without their comments. */
export type ScriptTemplates = Readonly<Record<ScriptName, string>>

/** A script and the reason it is that one. */
export interface RenderedScript {
  readonly text: string
  readonly script: ScriptName
  readonly reason: string
}

const FORMS: ReadonlySet<string> = new Set<ScriptForm>(['bytes', 'text', 'uri'])
const VALUE_NAMES: ReadonlySet<string> = new Set([
  'serverName',
  'iqn',
  'initiatorIqn',
  'chapUser',
  'chapSecret',
  'targetUser',
  'targetSecret',
  'portalAddress',
  'portalPort',
  'systemLun',
  'bootMac',
  'ibftGateway',
])

const MAGIC = '#!ipxe\n'

/**
 * Reads the templates from `directory`.
 * @throws DaemonError CONFIG_INVALID when one is no iPXE script or has a placeholder we do not know
 */
export async function loadScriptTemplates(directory: string): Promise<ScriptTemplates> {
  const read = async (name: ScriptName): Promise<[ScriptName, string]> => {
    return [name, await readScript(directory, name)]
  }
  const templates = Object.fromEntries(await Promise.all(SCRIPTS.map(read))) as ScriptTemplates // one of each
  // What the menu's `disk` boots is the server's own script.
  return { ...templates, rescue: templates.rescue + templates.server.slice(MAGIC.length) }
}

/**
 * The script for `target`.
 * @param policy where the machine reaches us
 */
export function renderScript(
  templates: ScriptTemplates,
  target: BootTarget,
  policy: Pick<BootPolicy, 'address' | 'httpPort'>,
): RenderedScript {
  const choice = decideScript(target)
  return { text: fill(templates[choice.script], target, policy), ...choice }
}

/** What a machine is sent that fetches its script again and again. */
export function renderStopped(
  templates: ScriptTemplates,
  target: BootTarget,
  policy: Pick<BootPolicy, 'address' | 'httpPort'>,
): RenderedScript {
  const reason = `server ${target.serverName} fetched its script again and again`
  return { text: fill(templates.stopped, target, policy), script: 'stopped', reason }
}

function fill(
  template: string,
  target: BootTarget,
  policy: Pick<BootPolicy, 'address' | 'httpPort'>,
): string {
  const values = valuesOf(target)
  const reportUrl = bootUrl(policy, target.bootToken)
  return fillBootTemplate(template, (name, form) =>
    form === 'url' ? reportUrl : scriptValue(values[name] ?? '', form as ScriptForm),
  )
}

function valuesOf(target: BootTarget): Record<string, string> {
  return {
    serverName: target.serverName,
    iqn: target.iqn,
    initiatorIqn: target.initiatorIqn,
    chapUser: target.chapUser,
    chapSecret: target.chapSecret,
    targetUser: target.targetUser,
    targetSecret: target.targetSecret,
    portalAddress: target.portalAddress,
    portalPort: String(target.portalPort),
    systemLun: target.systemLun.toString(16), // RFC 4173 §5: hexadecimal
    bootMac: target.bootMac,
    ibftGateway: target.ibftGateway,
  }
}

function isKnown(name: string, form: string): boolean {
  return form === 'url' ? name === 'reportUrl' : FORMS.has(form) && VALUE_NAMES.has(name)
}

async function readScript(directory: string, name: ScriptName): Promise<string> {
  const text = await readBootTemplate(join(directory, `${name}.ipxe`), isKnown)
  if (text.startsWith(MAGIC)) return text
  throw new DaemonError('CONFIG_INVALID', `boot script ${name}.ipxe does not begin with #!ipxe`)
}
