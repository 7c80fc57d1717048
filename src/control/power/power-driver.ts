/** Whether a machine has power, as its BMC says; `unknown` while it is changing or the BMC does not tell. */
export type PowerState = 'on' | 'off' | 'unknown'

/** How hard to press. */
export interface PressOptions {
  /** True cuts the power or pulls the reset line; false asks the operating system over ACPI. */
  readonly force: boolean
  readonly signal?: AbortSignal
}

/**
 * A machine's power button and boot choice. Every write is read back: a method that resolves was obeyed.
 * All reject with DaemonError POWER_FAILED, with WRONG_STATE when the machine has no BMC.
 */
export interface PowerDriver {
  powerState(signal?: AbortSignal): Promise<PowerState>
  /** Nothing to do when it is on. */
  powerOn(signal?: AbortSignal): Promise<void>
  /** Nothing to do when it is off. */
  powerOff(options: PressOptions): Promise<void>
  /** Starts the machine anew; one that is off is powered on. */
  reset(options: PressOptions): Promise<void>
  /** The next start, and only that, boots from the network. */
  setBootOnce(target: 'Pxe', signal?: AbortSignal): Promise<void>
}
