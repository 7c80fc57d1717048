import type { PowerDriver, PowerState } from '../../src/control/power/power.js'

/** A BMC that obeys and remembers what it was told. */
export class FakePower implements PowerDriver {
  readonly told: string[] = []
  state: PowerState = 'off'

  powerState(): Promise<PowerState> {
    return Promise.resolve(this.state)
  }

  powerOn(): Promise<void> {
    this.state = 'on'
    return this.#tell('on')
  }

  powerOff({ force }: { force: boolean }): Promise<void> {
    this.state = 'off'
    return this.#tell(force ? 'force-off' : 'off')
  }

  reset({ force }: { force: boolean }): Promise<void> {
    return this.#tell(force ? 'force-reset' : 'reset')
  }

  setBootOnce(): Promise<void> {
    return this.#tell('pxe-once')
  }

  #tell(what: string): Promise<void> {
    this.told.push(what)
    return Promise.resolve()
  }
}
