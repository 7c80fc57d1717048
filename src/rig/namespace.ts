import { access } from 'node:fs/promises'
import { runCommand } from '../command.js'
import { BRIDGES, tapCommands } from './nic-plan.js'
import type { RigPlan } from './plan.js'

const LIMIT = { timeoutMs: 30_000 } as const
/** Where servers ask for their metadata: the daemon that runs in the namespace listens there. */
const METADATA_ADDRESS = '169.254.169.254'

/** Whether a network namespace of that name exists (iproute2 keeps them in /run/netns). */
export async function hasNamespace(name: string): Promise<boolean> {
  return access(`/run/netns/${name}`).then(
    () => true,
    () => false,
  )
}

/**
 * Makes the rig's namespace: loopback, the bridges with the rig's addresses, a tap for each NIC.
 * @throws CommandFailed; the caller then deletes what was made
 */
export async function createNamespace(namespace: string, plan: RigPlan): Promise<void> {
  await runCommand('ip', ['netns', 'add', namespace], LIMIT)
  await runCommand('ip', ['-n', namespace, '-batch', '-'], { ...LIMIT, stdin: networkCommands(plan) })
}

/** Deletes the namespace with its bridge and taps; nothing to do when it is gone. */
export async function deleteNamespace(namespace: string): Promise<void> {
  if (!(await hasNamespace(namespace))) return
  // the taps go with the namespace, but only when its last process ends: an operator's shell in there must not keep
  // them, so the bridge and the taps are deleted by name first
  const links = await runCommand('ip', ['-n', namespace, '-o', 'link', 'show'], LIMIT)
  const names = [...links.stdout.matchAll(/^\d+: (br\d|tap[\dn]+)[:@]/gm)].map((match) => String(match[1]))
  const stdin = names.map((name) => `link del ${name}\n`).join('')
  await runCommand('ip', ['-n', namespace, '-force', '-batch', '-'], { ...LIMIT, stdin }).catch(ignore)
  await runCommand('ip', ['netns', 'del', namespace], LIMIT)
}

/** Lines for `ip -batch`. No spanning tree and no forward delay: the first DHCPDISCOVER must get through. */
export function networkCommands(plan: RigPlan): string {
  const nics = plan.machines.flatMap((machine) => machine.nics)
  const hasTenants = nics.some(({ segment }) => segment === 'tenant')
  const lines = [
    'link set lo up',
    `addr add ${METADATA_ADDRESS}/32 dev lo`,
    ...bridge(BRIDGES.storage, plan.address, plan),
    ...(hasTenants ? bridge(BRIDGES.tenant, plan.tenantAddress, plan) : []),
    ...nics.flatMap(tapCommands),
  ]
  return `${lines.join('\n')}\n`
}

function bridge(name: string, address: string, { prefixLength }: RigPlan): readonly string[] {
  return [
    `link add ${name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
    `addr add ${address}/${prefixLength} dev ${name}`,
    `link set ${name} up`,
  ]
}

function ignore(): void {
  // a link that is already gone
}
