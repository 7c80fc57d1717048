import type { BootTarget } from '../../src/netboot/decide.js'

/** A server `web1` that boots from its disk, with what the test says instead. */
export function bootTarget(instead: Partial<BootTarget> = {}): BootTarget {
  return {
    serverId: 's-1',
    serverName: 'web1',
    machineName: 'm1',
    intent: 'server',
    bootToken: 'tok_EN-1',
    firmware: 'uefi',
    bootMac: '52:54:00:12:34:56',
    iqn: 'iqn.2026-01.org.example:web1',
    initiatorIqn: 'iqn.2026-01.org.example:initiator.web1',
    chapUser: 'web1',
    targetUser: 'm-1-target',
    targetSecret: 'battery-staple-1',
    chapSecret: 'secret secret && ${x}',
    portalAddress: '198.18.0.1',
    portalPort: 3260,
    systemLun: 0,
    ibftGateway: 'kept',
    ...instead,
  }
}
