import pino from 'pino'
import type { Test } from 'tap'
import { systemClock, type Clock } from '../../../src/clock.js'
import type { DaemonEvent } from '../../../src/events.js'
import type { BlockDevice } from '../../../src/rootdisk/block-device.js'
import type { TargetSpec } from '../../../src/rootdisk/export.js'
import type { Digests } from '../../../src/rootdisk/iscsi/digest-receiver.js'
import { IscsiPortal, type IscsiPortalOptions } from '../../../src/rootdisk/iscsi/portal.js'
import { Initiator } from '../../fakes/initiator.js'
import { MemoryDisk } from '../../fakes/memory-disk.js'

/** Names of the one target with a host of its own. */
export const IQN = 'iqn.2026-01.example:web-1'
export const HOST = 'iqn.2026-01.example:host-1'
/** Keys of an initiator that sends its data at once. */
export const NO_R2T = ['InitialR2T=No', 'ImmediateData=Yes', 'MaxRecvDataSegmentLength=262144']
/** Flags of a command that is final and reads, or writes. */
export const READ = { flags: 0xc1 }
export const WRITE = { flags: 0xa1 }

/** A portal that serves a disk and a read-only seed. */
export interface Bench {
  portal: IscsiPortal
  disk: MemoryDisk
  seed: MemoryDisk
  events: DaemonEvent[]
  targets: TargetSpec[]
}

/** LUNs in order, each with its device. */
export function lunsOf(...devices: BlockDevice[]): TargetSpec['luns'] {
  return devices.map((device, lun) => ({
    lun,
    naa: `300000000000000${String(lun)}`,
    serial: `serial-${String(lun)}`,
    open: () => Promise.resolve(device),
  }))
}

/** Starts a portal with one target for {@link HOST} and one for somebody else. */
export async function bench(
  test: Test,
  options: {
    isSlow?: boolean
    chap?: TargetSpec['chap']
    mutual?: { user: string; secret: string }
    clock?: Clock
    portal?: Partial<IscsiPortalOptions>
  } = {},
): Promise<Bench> {
  const disk = new MemoryDisk(1 << 20, { isSlow: options.isSlow ?? false })
  const seed = new MemoryDisk(1 << 16, { isReadOnly: true })
  const events: DaemonEvent[] = []
  const luns = lunsOf(disk, seed)
  const { chap, mutual } = options
  const targets: TargetSpec[] = [
    { iqn: IQN, initiatorIqn: HOST, chap, luns, ...(mutual === undefined ? {} : { mutual }) },
    { iqn: 'iqn.2026-01.example:other', initiatorIqn: 'iqn.2026-01.example:host-2', chap: undefined, luns },
  ]
  const portal = new IscsiPortal(
    { host: '127.0.0.1', port: 0, maxSessionsPerTarget: 3, drainMs: 0, ...options.portal },
    {
      targets: { find: (iqn) => targets.find((each) => each.iqn === iqn), list: () => targets },
      emit: (event) => events.push(event),
      clock: options.clock ?? systemClock,
      log: pino({ level: 'silent' }),
    },
  )
  await portal.start((cause) => {
    throw cause
  })
  test.teardown(() => portal.stop())
  return { portal, disk, seed, events, targets }
}

/** An initiator logged in, with the unit attentions of both LUNs taken. */
export async function openSession(
  test: Test,
  { portal }: Pick<Bench, 'portal'>,
  options: { keys?: readonly string[]; isid?: number; digests?: Digests; luns?: readonly number[] } = {},
): Promise<Initiator> {
  const { keys = NO_R2T, isid = 1, digests, luns = [0, 1] } = options
  const initiator = new Initiator(portal.port)
  test.teardown(() => {
    initiator.close()
  })
  const wish = [...keys]
  if (digests?.header === true) wish.push('HeaderDigest=CRC32C,None')
  if (digests?.data === true) wish.push('DataDigest=CRC32C')
  const status = await initiator.openSession(IQN, HOST, wish, isid)
  if (status !== 0) throw new Error(`login status ${String(status)}`)
  if (digests !== undefined) initiator.digests = { ...digests }
  for (const lun of luns) await initiator.run(lun, [0, 0, 0, 0, 0, 0], { flags: 0x81 })
  return initiator
}
