import type { PowerDriver, PowerState, PressOptions } from './power-driver.js'
import { asRecord, RedfishSession, type RedfishPeer } from './redfish-session.js'

/** The part of a ComputerSystem (DSP0268) that we act on. */
interface SystemView {
  readonly power: PowerState
  readonly etag: string | undefined
  readonly boot: Record<string, unknown>
  readonly resetLink: string | undefined
  /** Undefined when the BMC does not tell. */
  readonly resetTypes: readonly string[] | undefined
}

/** How a wished power state is reached. */
interface Press {
  /** ResetTypes in order of preference. */
  readonly types: readonly string[]
  readonly wish: PowerState
  readonly limitMs: number
  readonly signal: AbortSignal | undefined
}

/** Drives one machine through its Redfish BMC (DSP0266, DSP0268). */
export class RedfishDriver implements PowerDriver {
  readonly #session: RedfishSession

  /** @throws DaemonError INVALID_INPUT when the URL is none of a System. */
  constructor(peer: RedfishPeer) {
    this.#session = new RedfishSession(peer)
  }

  async powerState(signal?: AbortSignal): Promise<PowerState> {
    return (await this.#look(signal)).power
  }

  async powerOn(signal?: AbortSignal): Promise<void> {
    const system = await this.#look(signal)
    if (system.power === 'on') return
    await this.#press(system, {
      types: ['On', 'ForceOn'],
      wish: 'on',
      limitMs: this.#session.timing.settleMs,
      signal,
    })
  }

  async powerOff({ force, signal }: PressOptions): Promise<void> {
    const system = await this.#look(signal)
    if (system.power === 'off') return
    const { settleMs, shutdownMs } = this.#session.timing
    const press = force
      ? { types: ['ForceOff'], limitMs: settleMs }
      : { types: ['GracefulShutdown'], limitMs: shutdownMs }
    await this.#press(system, { ...press, wish: 'off', signal })
  }

  async reset({ force, signal }: PressOptions): Promise<void> {
    const system = await this.#look(signal)
    if (system.power === 'off') return this.powerOn(signal)
    const types = force ? ['ForceRestart', 'PowerCycle'] : ['GracefulRestart']
    await this.#press(system, { types, wish: 'on', limitMs: this.#session.timing.settleMs, signal })
  }

  async setBootOnce(target: 'Pxe', signal?: AbortSignal): Promise<void> {
    const { etag } = await this.#look(signal)
    const Boot = { BootSourceOverrideEnabled: 'Once', BootSourceOverrideTarget: target }
    // some BMCs refuse a PATCH without the ETag they gave (DSP0266 section 6.5)
    await this.#session.call({ method: 'PATCH', body: { Boot }, ifMatch: etag, signal })
    const { boot } = await this.#look(signal)
    const [enabled, actual] = [boot['BootSourceOverrideEnabled'], boot['BootSourceOverrideTarget']]
    if (enabled !== 'Once' || actual !== target)
      throw this.#session.failure(
        `accepted network boot for the next start but says ${shown(enabled)} ${shown(actual)} afterwards`,
      )
  }

  async #look(signal: AbortSignal | undefined): Promise<SystemView> {
    const { json, etag } = await this.#session.call({ method: 'GET', signal })
    const state = json['PowerState']
    if (typeof state !== 'string')
      throw this.#session.failure('does not say a PowerState: is its URL that of a System?')
    const action = asRecord(asRecord(json['Actions'])?.['#ComputerSystem.Reset'])
    const link = action?.['target']
    const types = action?.['ResetType@Redfish.AllowableValues']
    return {
      power: state === 'On' ? 'on' : state === 'Off' ? 'off' : 'unknown', // PoweringOn, PoweringOff, Paused
      etag,
      boot: asRecord(json['Boot']) ?? {},
      resetLink: typeof link === 'string' ? link : undefined,
      resetTypes: Array.isArray(types) ? types.filter((type) => typeof type === 'string') : undefined,
    }
  }

  async #press(system: SystemView, { types, wish, limitMs, signal }: Press): Promise<void> {
    const type = types.find((candidate) => system.resetTypes?.includes(candidate) ?? true)
    if (system.resetLink === undefined || type === undefined)
      throw this.#session.failure(
        `offers no ${types.join(' or ')}, only ${system.resetTypes?.join(', ') ?? 'nothing'}`,
      )
    await this.#session.call({ method: 'POST', link: system.resetLink, body: { ResetType: type }, signal })
    const { pollMs } = this.#session.timing
    let power = await this.powerState(signal)
    for (let waitedMs = 0; power !== wish && waitedMs < limitMs; waitedMs += pollMs) {
      await this.#session.pause(pollMs, signal)
      power = await this.powerState(signal)
    }
    if (power !== wish)
      throw this.#session.failure(`accepted ${type} but the machine was ${power} ${limitMs} ms later`)
  }
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 40) : 'nothing'
}
