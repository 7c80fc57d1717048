import type { FastifyInstance } from 'fastify'
import type { Clock } from '../../clock.js'
import type { LeaseRecord } from '../../registry/records.js'
import type { Registry } from '../../registry/registry.js'
import { parseIpv4 } from '../../wire/ipv4.js'
import type { LeaseView } from './schema.js'

/** What the lease routes read. */
export interface LeaseDeps {
  readonly registry: Registry
  readonly clock: Clock
  /** Every lease, also those that are not in the registry's table yet. */
  readonly leases: () => Iterable<LeaseRecord>
}

/** GET /leases: by address. */
export function leaseRoutes(app: FastifyInstance, deps: LeaseDeps): void {
  app.get('/leases', () => ({ leases: leaseViews(deps) }))
}

function leaseViews({ registry, clock, leases }: LeaseDeps): LeaseView[] {
  const serverOf = new Map(registry.servers.list().map(({ machineId, name }) => [machineId, name]))
  const machineOf = new Map(
    registry.machines.list().flatMap(({ id, name, nics }) => nics.map(({ mac }) => [mac, { id, name }])),
  )
  const nowMs = clock.nowMs()
  return [...leases()].sort(byAddress).map(({ ip, mac, clientId, expiresMs }) => {
    const machine = machineOf.get(mac)
    return {
      ip,
      mac,
      client_id: clientId ?? null,
      machine: machine?.name ?? null,
      server: serverOf.get(machine?.id ?? '') ?? null,
      state: expiresMs > nowMs ? 'active' : 'expired',
      expires_at: new Date(expiresMs).toISOString(),
    }
  })
}

function byAddress(a: LeaseRecord, b: LeaseRecord): number {
  return (parseIpv4(a.ip) ?? 0) - (parseIpv4(b.ip) ?? 0)
}
