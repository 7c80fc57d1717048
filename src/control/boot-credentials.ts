import { randomBytes } from 'node:crypto'
import type { Stage } from '../events.js'
import type { ServerRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'

/** What credentials are made with. */
export interface BootCredentialsDeps {
  readonly registry: Pick<Registry, 'servers'>
  /** Whether the boot in progress has had its script: asked once for a server, after a start of the daemon. */
  readonly hasScript: (serverId: string) => boolean
  /** The target takes a new secret for its next login without being told. */
  readonly canRotateSecret: boolean
}

/** The secret part of boot URLs: 128 random bits. */
export function newBootToken(): string {
  return randomBytes(16).toString('hex')
}

/** RFC 7143 §9.2.1 asks for 96 random bits at least; iPXE and Windows take no more than 16 characters. */
export function newChapSecret(): string {
  return randomBytes(12).toString('base64url')
}

/**
 * What each boot of a server has of its own. The token is new from the moment the boot begins: the URLs of the boot
 * before are dead then. The CHAP secret is new from the moment that its script is fetched: only then is the system
 * that had the old one surely gone, and it may log in again at any time until then (its target was restarted).
 */
export class BootCredentials {
  readonly #deps: BootCredentialsDeps
  /** Servers by id: whether the boot in progress has had its script. */
  readonly #hadScript = new Map<string, boolean>()

  constructor(deps: BootCredentialsDeps) {
    this.#deps = deps
  }

  /** To be told every stage: our own power-on begins a boot; a script may also be GRUB's. */
  onStage(serverId: string, stage: Stage): void {
    if (stage === 'powered-on') this.#begin(serverId)
    if (stage === 'script') this.#hadScript.set(serverId, true)
  }

  /**
   * Firmware asks how to boot: another boot, when the one in progress has had its script (a reset by hand).
   * Whether another one begins.
   */
  firmwareAsks(serverId: string): boolean {
    const isAnother = this.#had(serverId)
    if (isAnother) this.#begin(serverId)
    return isAnother
  }

  /** The script is about to be sent; what is read of the server after this goes into it. */
  scriptAsked(serverId: string): void {
    if (this.#had(serverId)) return
    const { servers } = this.#deps.registry
    if (this.#deps.canRotateSecret) servers.change(serverId, { chapSecret: newChapSecret() })
    if (servers.get(serverId)?.rescue === 'wanted') servers.change(serverId, { rescue: 'shown' })
    this.#hadScript.set(serverId, true)
  }

  #begin(serverId: string): void {
    const { servers } = this.#deps.registry
    const server: ServerRecord | undefined = servers.get(serverId)
    if (server === undefined) return
    servers.change(serverId, {
      bootToken: newBootToken(),
      ...(server.rescue === 'shown' && { rescue: undefined }),
    })
    this.#hadScript.set(serverId, false)
  }

  #had(serverId: string): boolean {
    const known = this.#hadScript.get(serverId)
    if (known !== undefined) return known
    const had = this.#deps.hasScript(serverId)
    this.#hadScript.set(serverId, had)
    return had
  }
}
