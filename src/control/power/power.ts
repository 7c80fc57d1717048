import { systemClock, type Clock } from '../../clock.js'
import { DaemonError } from '../../errors.js'
import type { PowerDriver, PowerState } from './power-driver.js'
import { RedfishDriver } from './redfish.js'
import type { RedfishTiming } from './redfish-session.js'

export type { PowerDriver, PowerState, PressOptions } from './power-driver.js'

/** What a driver is chosen by. */
export interface PoweredMachine {
  readonly name: string
  /** `redfish://HOST:PORT/redfish/v1/Systems/ID` (HTTP) or `redfish+https://...`. */
  readonly bmcUrl?: string | undefined
  /** A file with `user:password`, readable by its owner (and group) only. */
  readonly bmcCredentialsFile?: string | undefined
}

/** What drivers need; the defaults are for real BMCs. */
export interface PowerDeps {
  readonly clock?: Clock
  readonly timing?: Partial<RedfishTiming>
}

/**
 * The driver for a machine's BMC; a machine without one gets a driver that refuses in words.
 * @throws DaemonError INVALID_INPUT when the BMC's URL or the credentials file is not usable
 */
export function powerDriverFor(machine: PoweredMachine, deps: PowerDeps = {}): PowerDriver {
  if (machine.bmcUrl === undefined) return new HandDriver(machine.name)
  if (machine.bmcCredentialsFile === undefined)
    throw new DaemonError(
      'INVALID_INPUT',
      `machine ${machine.name}: bmcCredentialsFile is needed with bmcUrl`,
    )
  return new RedfishDriver({
    machineName: machine.name,
    url: machine.bmcUrl,
    credentialsFile: machine.bmcCredentialsFile,
    clock: deps.clock ?? systemClock,
    timing: deps.timing ?? {},
  })
}

/** For a machine without a BMC: somebody has to walk. */
class HandDriver implements PowerDriver {
  readonly #machineName: string

  constructor(machineName: string) {
    this.#machineName = machineName
  }

  powerState(): Promise<PowerState> {
    return Promise.resolve('unknown')
  }

  powerOn(): Promise<void> {
    return this.#refuse('power it on by hand')
  }

  powerOff(): Promise<void> {
    return this.#refuse('power it off by hand')
  }

  reset(): Promise<void> {
    return this.#refuse('restart it by hand')
  }

  setBootOnce(): Promise<void> {
    return this.#refuse('choose network boot in its firmware')
  }

  #refuse(advice: string): Promise<never> {
    return Promise.reject(
      new DaemonError('WRONG_STATE', `machine ${this.#machineName} has no BMC: ${advice}`),
    )
  }
}
