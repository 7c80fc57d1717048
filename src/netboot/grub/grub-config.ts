import { join } from 'node:path'
import { fillBootTemplate, readBootTemplate } from '../boot-template.js'
import type { BootPolicy, BootTarget } from '../decide.js'
import { grubValue, type GrubForm } from './grub-value.js'

const CONFIGS = ['start', 'server', 'no-kernel', 'local', 'unknown'] as const

/** Which configuration a machine's GRUB gets. */
export type GrubConfigName = (typeof CONFIGS)[number]

/** The texts of `boot/*.grub`, by name, checked and without their comments. */
export type GrubTemplates = Readonly<Record<GrubConfigName, string>>

/** What a server's configuration is made of. */
export interface GrubBoot {
  readonly target: BootTarget
  /** What the kernel beside the server's image is started with; undefined: there is none. */
  readonly kernelArguments: string | undefined
  /** The NIC that GRUB came over. */
  readonly mac: string
  /** Where the machine reaches us. */
  readonly policy: Pick<BootPolicy, 'address' | 'httpPort'>
}

const FORMS: ReadonlySet<string> = new Set<GrubForm>(['word', 'words', 'text'])
const VALUE_NAMES: ReadonlySet<string> = new Set([
  'serverName',
  'iqn',
  'initiatorIqn',
  'chapUser',
  'chapSecret',
  'portalAddress',
  'portalPort',
  'kernelArguments',
  'bootif',
  'bootToken',
  'address',
  'httpPort',
])

/**
 * Reads the templates from `directory`.
 * @throws DaemonError CONFIG_INVALID when one has a placeholder we do not know
 */
export async function loadGrubTemplates(directory: string): Promise<GrubTemplates> {
  const isKnown = (name: string, form: string): boolean => VALUE_NAMES.has(name) && FORMS.has(form)
  const read = (name: string): Promise<string> => readBootTemplate(join(directory, `${name}.grub`), isKnown)
  const texts = await Promise.all(CONFIGS.map(read))
  return Object.fromEntries(CONFIGS.map((name, index) => [name, texts[index] ?? ''])) as GrubTemplates // every name
}

/** Which configuration, and why. */
export function decideGrubConfig(
  target: BootTarget | undefined,
  kernelArguments: string | undefined,
): { readonly config: GrubConfigName; readonly reason: string } {
  if (target === undefined) return { config: 'unknown', reason: 'no server has this machine' }
  const { serverName } = target
  if (target.intent === 'local')
    return { config: 'local', reason: `server ${serverName} boots from its local disk` }
  if (kernelArguments === undefined)
    return { config: 'no-kernel', reason: `the image of server ${serverName} has no kernel beside it` }
  return { config: 'server', reason: `server ${serverName} boots its own kernel, disk ${target.iqn}` }
}

/** A template with its placeholders filled in; without `boot` for those that have none. */
export function renderGrubConfig(template: string, boot?: GrubBoot): string {
  const values = boot === undefined ? {} : valuesOf(boot)
  return fillBootTemplate(template, (name, form) => grubValue(name, values[name] ?? '', form as GrubForm))
}

function valuesOf({ target, kernelArguments = '', mac, policy }: GrubBoot): Record<string, string> {
  const { serverName, iqn, initiatorIqn, chapUser, chapSecret, portalAddress, bootToken } = target
  return {
    ...{ serverName, iqn, initiatorIqn, chapUser, portalAddress, bootToken, kernelArguments, chapSecret },
    portalPort: String(target.portalPort),
    // PXELINUX's form, as initramfs-tools and dracut read it: hardware type 1, then the address.
    bootif: `01-${mac.replaceAll(':', '-')}`,
    address: policy.address,
    httpPort: String(policy.httpPort),
  }
}
