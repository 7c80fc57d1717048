import type { EmitEvent } from '../../events.js'
import { inMemory, type BootFile } from '../boot-files.js'
import type { BootPolicy, BootTarget } from '../decide.js'
import { decideGrubConfig, renderGrubConfig, type GrubConfigName, type GrubTemplates } from './grub-config.js'
import { grubConfigName, NO_KERNEL_REMEDY } from './signed-parts.js'

/** What GRUB is sent of an image. */
export type KernelFile = 'kernel' | 'initrd'

/** What the desk needs to know and to open. */
export interface GrubDeskDeps {
  /** The server whose machine has the NIC `mac`; undefined also when `ip` is another machine's. */
  readonly findTarget: (mac: string, ip: string) => BootTarget | undefined
  readonly findByToken: (token: string) => BootTarget | undefined
  /** What the kernel beside a server's image is started with; undefined when it has none. */
  readonly kernelArguments: (serverId: string) => string | undefined
  readonly openKernel: (serverId: string, file: KernelFile) => Promise<BootFile | undefined>
  /** A configuration is about to be sent: the boot's own secret is made. */
  readonly scriptAsked: (serverId: string) => void
  readonly templates: GrubTemplates
  /** Where the machines reach us. */
  readonly policy: Pick<BootPolicy, 'address' | 'httpPort'>
  readonly emit: EmitEvent
}

const BY_TOKEN = /^boot\/([A-Za-z0-9_-]+)\/(kernel|initrd|failed)$/

/** What a machine's GRUB gets: a configuration of its own, then its server's kernel and initrd. */
export class GrubDesk {
  readonly #deps: GrubDeskDeps

  constructor(deps: GrubDeskDeps) {
    this.#deps = deps
  }

  /** A file made for one machine, as TFTP asks for it; undefined when `name` is none of ours. */
  async virtualFile(name: string, ip: string): Promise<BootFile | undefined> {
    const config = grubConfigName(name)
    if (config !== undefined) return inMemory(Buffer.from(this.#config(config.mac, ip)))
    const [, token = '', file] = BY_TOKEN.exec(name) ?? []
    if (file === 'failed') return this.#failed(token, ip)
    return file === 'kernel' || file === 'initrd'
      ? this.kernelFile(token, file, { ip, by: 'TFTP' })
      : undefined
  }

  /** The kernel or initrd of the server with this boot token. */
  async kernelFile(
    token: string,
    file: KernelFile,
    { ip, by }: { readonly ip: string; readonly by: 'TFTP' | 'HTTP' },
  ): Promise<BootFile | undefined> {
    const target = this.#deps.findByToken(token)
    if (target === undefined) return undefined
    const { serverId, serverName } = target
    const opened = await this.#deps.openKernel(serverId, file)
    if (opened === undefined) return undefined
    const message = `${file} of server ${serverName} asked by ${by}, ${opened.sizeBytes} bytes`
    this.#deps.emit({ kind: 'boot.kernel', message, serverId, ip })
    return opened
  }

  #config(mac: string | undefined, ip: string): string {
    const { findTarget, kernelArguments, templates, policy } = this.#deps
    if (mac === undefined) return templates.start
    const target = findTarget(mac, ip)
    const kept = target && kernelArguments(target.serverId)
    const { config, reason } = decideGrubConfig(target, kept)
    if (target === undefined) return renderGrubConfig(templates[config])
    if (config === 'server') this.#deps.scriptAsked(target.serverId)
    this.#tell(config, reason, { serverId: target.serverId, mac, ip })
    const now = findTarget(mac, ip) ?? target
    return renderGrubConfig(templates[config], { target: now, kernelArguments: kept, mac, policy })
  }

  #tell(config: GrubConfigName, reason: string, who: { serverId: string; mac: string; ip: string }): void {
    if (config === 'no-kernel') {
      this.#deps.emit({ kind: 'boot.no-kernel', message: `${reason}: ${NO_KERNEL_REMEDY}`, ...who })
      return
    }
    const message = `GRUB configuration sent: ${reason}`
    this.#deps.emit({ kind: 'boot.script', stage: 'script', message, ...who })
  }

  #failed(token: string, ip: string): BootFile | undefined {
    const target = this.#deps.findByToken(token)
    if (target === undefined) return undefined
    const message = `GRUB of server ${target.serverName} could not load the kernel and its initrd; its console says why`
    this.#deps.emit({ kind: 'boot.script-failed', message, serverId: target.serverId, ip })
    return inMemory(Buffer.from('noted\n'))
  }
}
