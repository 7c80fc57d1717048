#!/usr/bin/env node
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance, FastifyPluginCallback } from 'fastify'
import { systemClock } from './clock.js'
import { systemCode, DaemonError } from './errors.js'
import type { Config } from './config.js'
import { BootCredentials } from './control/boot-credentials.js'
import { Claims } from './control/claims.js'
import type { NetworkDoctor } from './control/doctor/network-doctor.js'
import { EventIntake } from './control/event-intake.js'
import { Images } from './control/images.js'
import { Jobs } from './control/jobs.js'
import { Keypairs } from './control/keypairs.js'
import { LayerMerger } from './control/layer-merger.js'
import { Machines, type MachineRules } from './control/machines.js'
import { powerDriverFor } from './control/power/power.js'
import { Redeployment } from './control/redeployment.js'
import { ServerChanges } from './control/server-changes.js'
import { Servers, type ServerDeps } from './control/servers.js'
import { Snapshots } from './control/snapshots.js'
import { stateDirs, type StateDirs } from './control/state-dirs.js'
import { TargetClient } from './control/target-client.js'
import { TargetSupervisor } from './control/target-supervisor.js'
import { VolumeReport } from './control/volume-report.js'
import { Volumes, type VolumeDeps } from './control/volumes.js'
import { WishState } from './control/wish-state.js'
import { allocatedBytes, imageDisks, tailOf } from './wiring/disk-work.js'
import { atEnd, runDaemon, type EntryContext } from './wiring/entry.js'
import { renderSeedDisk } from './firstboot/seed/seed-disk.js'
import { HttpListener } from './http/listener.js'
import { JournalFiles } from './netboot/dhcp/journal-files.js'
import { LeaseJournal } from './netboot/dhcp/lease-journal.js'
import { networkDoctor } from './wiring/network.js'
import type { BootLife } from './wiring/boot-http.js'
import { metadataServices } from './wiring/metadata.js'
import { netbootServices } from './wiring/netboot.js'
import { apiRoutes } from './operator/api/routes.js'
import { API_PREFIX } from './operator/api/schema.js'
import { openRegistry, type Registry } from './registry/registry.js'
import { lockState } from './registry/state-lock.js'
import { checkLayer } from './rootdisk/volume/check-layer.js'
import { createLayer, deleteLayer } from './rootdisk/volume/layer.js'
import { seedInputOf, seedSources, type SeedSources } from './wiring/seed-input.js'
import { refuseOtherTarget, tgtTarget } from './wiring/tgt.js'
import type { Service } from './service.js'
import { parseIpv4, parseSubnet } from './wire/ipv4.js'

/** The control plane: boot services, API, jobs, power. */
await runDaemon('ingotd', async (context) => {
  const { config, log } = context
  const dirs = stateDirs(config.stateDir, config.runDir)
  makeDirectories(dirs, config)
  const lock = lockState(join(dirs.stateDir, 'ingotd.lock'), 'ingotd')
  const targetLock = lockTarget(config, dirs)
  const registry = openRegistry(dirs.registryFile)
  const intake = new EventIntake({ registry, clock: systemClock, log })
  const jobs = new Jobs({ registry, clock: systemClock, log })
  registry.jobs.failRunning('the daemon ended while this ran', systemClock.nowMs())
  const end = atEnd('registry', async () => {
    await jobs.stop()
    registry.close()
    for (const held of [targetLock, lock]) held?.release()
  })
  const emit = intake.take.bind(intake)
  const client = new TargetClient(config.target.controlSocket, config.target.driver)
  await refuseOtherTarget(config.target.driver, dirs, registry)
  const tgt = config.target.driver === 'tgt' ? tgtTarget(context, { registry, dirs, intake }) : undefined
  const wishes = new WishState({
    registry,
    log,
    driver: config.target.driver,
    reload: () => (tgt?.driver ?? client).reload(),
    deleteLayer: (layerId) => deleteLayer(dirs, layerId),
  })
  const onUp = (): Promise<void> => wishes.apply().then(ignore)
  const leases = await leaseJournal(context, { registry, dirs, intake })
  const { doctor, watch } = networkDoctor(config, registry, intake)
  const life = bootLife(config, registry, intake)
  const netboot = await netbootServices(context, registry, life, { leases, watch })
  return [
    ...[end, leases, doctor.probe],
    tgt?.watch(onUp) ?? targetSupervisor(context, { client, take: emit, onUp }),
    ...[doctor.answers, ...netboot, ...metadataServices(context, registry, { life, leases })],
    await api(context, { registry, intake, jobs, dirs, client, wishes, leases, doctor }),
  ]
})

async function leaseJournal(
  { log }: EntryContext,
  { registry, dirs, intake }: Pick<Parts, 'registry' | 'dirs' | 'intake'>,
): Promise<LeaseJournal> {
  const journal = new LeaseJournal({
    files: new JournalFiles(dirs.leasesDir),
    table: registry.leases,
    clock: systemClock,
    emit: (event) => intake.take(event),
    log,
  })
  await journal.read()
  return journal
}

/** Nobody may write layers that are made raw files: an ingot-targetd that outlived its ingotd would. */
function lockTarget({ target }: Config, { stateDir }: StateDirs): ReturnType<typeof lockState> | undefined {
  return target.driver === 'tgt' ? lockState(join(stateDir, 'targetd.lock'), 'ingot-targetd') : undefined
}

function bootLife(config: Config, registry: Registry, intake: EventIntake): BootLife {
  const credentials = new BootCredentials({
    registry,
    hasScript: (serverId) => intake.reached(serverId).has('script'),
    canRotateSecret: config.target.driver === 'embedded',
  })
  intake.watch((serverId, stage) => credentials.onStage(serverId, stage))
  return { emit: (event) => intake.take(event), watch: (onStage) => intake.watch(onStage), credentials }
}

function makeDirectories(dirs: StateDirs, config: Config): void {
  for (const path of [dirs.stateDir, dirs.layersDir, dirs.runDir, config.image.cacheDir]) {
    try {
      mkdirSync(path, { recursive: true })
    } catch (err) {
      throw new DaemonError('STATE_UNUSABLE', `${path} cannot be made: ${systemCode(err) ?? String(err)}`, {
        cause: err,
      })
    }
  }
}

function targetSupervisor(
  context: EntryContext,
  deps: { client: TargetClient; take: EventIntake['take']; onUp: () => Promise<void> },
): Service {
  const { config, configFile, log } = context
  const targetd = fileURLToPath(new URL('./targetd.js', import.meta.url))
  return new TargetSupervisor({
    ...deps,
    command: config.target.isManaged
      ? { program: process.execPath, args: [targetd, '--config', configFile] }
      : undefined,
    clock: systemClock,
    log,
  })
}

interface Parts {
  readonly registry: Registry
  readonly intake: EventIntake
  readonly jobs: Jobs
  readonly dirs: StateDirs
  readonly client: TargetClient
  readonly wishes: WishState
  readonly leases: LeaseJournal
  readonly doctor: NetworkDoctor
}

async function api({ config, log }: EntryContext, parts: Parts): Promise<Service> {
  const { registry, intake, jobs, dirs, client } = parts
  const clock = systemClock
  const images = new Images({ registry, clock, log, jobs, disks: imageDisks(dirs, config) })
  await images.sweep()
  const disks = disksOf(parts)
  const routes = apiRoutes({
    registry,
    clock,
    leases: () => parts.leases.all(),
    images,
    ...serversOf(config, parts, disks.shared),
    ...disks,
    reports: new VolumeReport({
      registry,
      images,
      target: client,
      checkLayer: (layer) => checkLayer(dirs.layersDir, layer),
    }),
    nbd: client,
    intake,
    doctor: parts.doctor,
    allocatedBytes: (layerId) => allocatedBytes(dirs, layerId),
    tailOf,
  })
  return new HttpListener({
    options: {
      name: 'api',
      endpoint: { socketPath: config.api.socket, socketMode: 0o660 },
      requestTimeoutMs: 0,
    },
    routes: [(app) => void app.register(toPlugin(routes), { prefix: API_PREFIX })],
    log,
  })
}

function machineRules({ boot, subnets, target }: Config): MachineRules {
  const reserved = [boot?.address, target.address, ...subnets.flatMap((one) => [one.address, one.router])]
  return {
    subnets: subnets.map(({ cidr }) => parseSubnet(cidr)).filter((subnet) => subnet !== undefined),
    reservedAddresses: reserved.map((text) => parseIpv4(text ?? '')).filter((ip) => ip !== undefined),
  }
}

function toPlugin(routes: (app: FastifyInstance) => void): FastifyPluginCallback {
  return (app, _options, done) => {
    routes(app)
    done()
  }
}

/** What acts on servers and what they are made of. */
interface ServerParts {
  readonly machines: Machines
  readonly servers: Servers
  readonly redeployment: Redeployment
  readonly changes: ServerChanges
  readonly keypairs: Keypairs
}

interface Disks {
  readonly shared: VolumeDeps
  readonly volumes: Volumes
  readonly snapshots: Snapshots
  readonly merger: LayerMerger
}

function disksOf({ registry, intake, jobs, dirs, client, wishes }: Parts): Disks {
  const shared: VolumeDeps = {
    registry,
    clock: systemClock,
    claims: new Claims(),
    wishes,
    createLayer: (layer) => createLayer(dirs, layer),
    deleteLayer: (layerId) => deleteLayer(dirs, layerId),
    emit: (event) => intake.take(event),
  }
  const merger = new LayerMerger({ ...shared, jobs, mergeLayers: (...args) => client.mergeLayers(...args) })
  const snapshots = new Snapshots({ ...shared, jobs, merger, targetUse: () => client.status() })
  snapshots.resume()
  return { shared, volumes: new Volumes(shared), snapshots, merger }
}

function serversOf(config: Config, { registry }: Parts, disks: VolumeDeps): ServerParts {
  const shared = { ...disks, checkSeed: seedCheck(seedSources(config, registry)) }
  const deps: ServerDeps = { ...shared, powerOf: (machine) => powerDriverFor(machine) }
  return {
    machines: new Machines({ ...shared, rules: machineRules(config) }),
    servers: new Servers(deps),
    redeployment: new Redeployment(deps),
    changes: new ServerChanges(shared),
    keypairs: new Keypairs({ registry, clock: systemClock }),
  }
}

function seedCheck(sources: SeedSources): ServerDeps['checkSeed'] {
  return (server, machine) => void renderSeedDisk(seedInputOf(server, machine, sources))
}

function ignore(): void {
  // what failed is told by the target's events
}
