import {
  NO_OVERRIDE,
  PowerConflict,
  type BootOverride,
  type ManagedMachine,
  type ResetType,
} from '../../src/rig/machine.js'

/** A machine without QEMU: it does what its button says at once and remembers what was pressed. */
export class FakeManagedMachine implements ManagedMachine {
  readonly name = 'm1'
  readonly uuid = '00000000-0000-8000-8000-000000000001'
  readonly memoryMib = 1024
  readonly firmware = 'UEFI'
  powerState: 'On' | 'Off' = 'Off'
  bootOverride: BootOverride = NO_OVERRIDE
  readonly pressed: ResetType[] = []

  reset(type: ResetType): Promise<void> {
    this.pressed.push(type)
    if (this.powerState === 'Off' && /Graceful|ForceRestart/.test(type))
      return Promise.reject(new PowerConflict(`m1 is off: ${type} needs it on`))
    this.powerState = type === 'ForceOff' || type === 'GracefulShutdown' ? 'Off' : 'On'
    return Promise.resolve()
  }
}
