import type { FastifyInstance } from 'fastify'
import type { OtherServer } from '../../control/doctor/dhcp-probe.js'
import type { NetworkDoctor, NetworkReport } from '../../control/doctor/network-doctor.js'
import type { NetworkReportView, OtherServerView } from './doctor-schema.js'

/** What the routes of the doctor act through. */
export interface DoctorDeps {
  readonly doctor: Pick<NetworkDoctor, 'report'>
}

/** `GET /doctor/network` */
export function doctorRoutes(app: FastifyInstance, { doctor }: DoctorDeps): void {
  app.get('/doctor/network', async () => networkReportView(await doctor.report()))
}

function networkReportView({
  subnets,
  interfaces,
  sockets,
  relays,
  findings,
}: NetworkReport): NetworkReportView {
  return {
    is_sound: findings.length === 0,
    findings: findings.map(({ about, message }) => ({ about, message })),
    subnets: subnets.map(({ cidr, mode, address, isRelayed, probe }) => ({
      cidr,
      mode,
      address,
      relayed: isRelayed,
      other_servers: probe?.isAsked === true ? probe.servers.map(serverView) : null,
      relays: relays.filter((relay) => relay.cidr === cidr).map((relay) => relay.address),
    })),
    interfaces: interfaces.map(({ name, state, mac, addresses }) => ({ name, state, mac, addresses })),
    sockets: sockets.map(({ address, port, queuedBytes, drops }) => ({
      address,
      port,
      queued_bytes: queuedBytes,
      drops,
    })),
  }
}

function serverView({ serverAddress, offered, bootFile }: OtherServer): OtherServerView {
  return { server: serverAddress, offered: offered ?? null, boot_file: bootFile ?? null }
}
