import type { Clock } from '../clock.js'
import type { EmitEvent, Stage } from '../events.js'
import { asksToBoot, isScriptClient, seenOf, type BootAnswer, type BootClient } from './boot-client.js'
import { decideBoot, type BootPolicy, type BootTarget } from './decide.js'
import { limitEvents } from '../event-limiter.js'
import { isSignedLoader } from './grub/signed-parts.js'
import { LoopDetector } from './loop-detector.js'
import { RefusalWatch } from './refusal-watch.js'

/** What the desk needs. */
export interface BootDeskDeps {
  /** The server whose machine has a NIC with this MAC. */
  readonly findTarget: (mac: string) => BootTarget | undefined
  /** Told before a firmware's question is answered; whether another boot begins with it, with another token. */
  readonly firmwareAsks: (serverId: string) => boolean
  readonly emit: EmitEvent
  readonly clock: Clock
}

/** What a script that is fetched over and over is to the loop detector. */
const FETCHED_SCRIPT = 'script by HTTP'

/** Option 93 of a BIOS, which knows no Secure Boot. */
const BIOS = 0

/** Where DHCP and HTTP ask what a client boots: {@link decideBoot} with its events, and an end to loops. */
export class BootDesk {
  readonly #deps: BootDeskDeps
  readonly #tell: EmitEvent
  readonly #loops: LoopDetector
  readonly #refusals: RefusalWatch
  /** MACs whose last question was firmware's; only of machines with a server. */
  readonly #booting = new Set<string>()
  /** What was last seen of the firmware of a server's machine, by server. */
  readonly #seen = new Map<string, string>()

  constructor(deps: BootDeskDeps) {
    this.#deps = deps
    this.#tell = limitEvents(deps.emit, deps.clock)
    this.#loops = new LoopDetector(deps.clock)
    this.#refusals = new RefusalWatch(deps.clock)
  }

  /** The answer for the segment that `policy` describes; what stands in the way of booting becomes an event. */
  answer(client: BootClient, policy: BootPolicy): BootAnswer {
    const target = this.#targetOf(client)
    const decided = decideBoot(client, target, policy)
    const answer = target === undefined ? decided : this.#unlessLoop(client, target, decided)
    if (target !== undefined) this.#watchRefusal(client, target, answer)
    const serverId = target?.serverId
    if (answer.trouble !== undefined)
      this.#tell({ ...answer.trouble, mac: client.mac, ...(serverId !== undefined && { serverId }) })
    return answer
  }

  /** Whether the boot script may be sent to a machine that fetches it now; if not, that is an event. */
  maySendScript({ serverId, serverName }: BootTarget): boolean {
    const verdict = this.#loops.ask(serverId, FETCHED_SCRIPT)
    const seen = this.#seen.get(serverId) ?? 'nothing by DHCP'
    if (verdict !== 'give')
      this.#tell({ kind: 'boot.loop', message: loopMessage(serverName, 'script', seen), serverId })
    return verdict === 'give'
  }

  /** To be told every stage that a server reaches, and when its script reports: who gets further is in no loop. */
  onStage(serverId: string, stage: Stage | 'reported'): void {
    this.#refusals.onStage(serverId, stage)
    if (stage === 'script') this.#loops.clear(serverId, FETCHED_SCRIPT)
    else if (stage !== 'dhcp' && stage !== 'loader') this.#loops.clear(serverId)
  }

  /**
   * Tells the address that firmware (or a loader) asks for from the one that its operating system, or our own script,
   * asks for later: only the first is a stage of a boot.
   */
  isBooting(mac: string | undefined): boolean {
    return mac !== undefined && this.#booting.has(mac)
  }

  #targetOf(client: BootClient): BootTarget | undefined {
    const target = this.#deps.findTarget(client.mac)
    if (target === undefined) return undefined
    if (!asksToBoot(client) || isScriptClient(client)) {
      this.#booting.delete(client.mac)
      return target
    }
    this.#booting.add(client.mac)
    this.#seen.set(target.serverId, seenOf(client))
    return this.#deps.firmwareAsks(target.serverId) ? this.#deps.findTarget(client.mac) : target
  }

  #watchRefusal(client: BootClient, target: BootTarget, { bootFile }: BootAnswer): void {
    const { serverId } = target
    if (!asksToBoot(client) || client.isIpxe || client.arch === BIOS) {
      this.#refusals.ran(serverId)
      return
    }
    const loader = this.#refusals.asks(serverId, bootFile?.split('/').pop())
    if (loader === undefined) return
    this.#deps.emit({
      kind: 'boot.refused',
      message: refusalMessage(target, loader),
      mac: client.mac,
      serverId,
    })
  }

  #unlessLoop(client: BootClient, { serverId, serverName }: BootTarget, answer: BootAnswer): BootAnswer {
    const { gives } = answer
    if (gives === undefined || isScriptClient(client)) return answer
    // Only what is taken counts: a client that goes on looking for offers has taken nothing.
    const isStopped =
      client.isDiscover === true
        ? this.#loops.isStopped(serverId, gives)
        : this.#loops.ask(serverId, gives) !== 'give'
    if (!isStopped) return answer
    return {
      reason: `address only: ${gives} was given again and again`,
      trouble: { kind: 'boot.loop', message: loopMessage(serverName, gives, seenOf(client)) },
    }
  }
}

function refusalMessage({ serverName, machineName }: BootTarget, loader: string): string {
  const what = `the machine of server ${serverName} fetched ${loader}, did not run it and asked again`
  const why = isSignedLoader(loader)
    ? 'its Secure Boot does not trust this shim or the GRUB that it loads (revoked, or other keys): its console says which'
    : `Secure Boot: give it shimx64.efi: ingot machine set ${machineName} --loader shimx64.efi`
  return `${what}. ${why}`
}

function loopMessage(serverName: string, thing: string, seen: string): string {
  const hint = thing.startsWith('loader')
    ? 'the loader does not say that it is iPXE, or ends at once: try another ("ingot machine set MACHINE --loader FILE")'
    : 'iPXE cannot fetch it, or it ends without a word: look at the console of the machine'
  const until = 'it is not given for 10 minutes, or until "ingot server start" or "reboot"'
  return `the machine of server ${serverName} came back for its ${thing} 3 times in 2 minutes: ${until}; seen: ${seen}; ${hint}`
}
