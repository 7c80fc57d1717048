import type { FastifyInstance } from 'fastify'
import { join } from 'node:path'
import type { Config } from '../config.js'
import { bootTargetOf } from './boot-target.js'
import { stateDirs } from '../control/state-dirs.js'
import type { EmitEvent } from '../events.js'
import { BootFiles } from '../netboot/boot-files.js'
import type { BootPolicy, BootTarget } from '../netboot/decide.js'
import type { GrubTemplates } from '../netboot/grub/grub-config.js'
import { GrubDesk, type GrubDeskDeps } from '../netboot/grub/grub-desk.js'
import { grubRoutes } from '../netboot/grub/grub-routes.js'
import { isOptionalPart } from '../netboot/grub/signed-parts.js'
import type { TftpServerDeps } from '../netboot/tftp/tftp-server.js'
import type { Registry } from '../registry/registry.js'
import type { ImageRecord } from '../registry/records.js'

/** What the signed path is wired with. */
export interface SignedPathDeps {
  readonly config: Config
  readonly registry: Registry
  readonly templates: GrubTemplates
  readonly findByToken: (token: string) => BootTarget | undefined
  readonly emit: EmitEvent
}

/** What the signed path adds to a segment's TFTP and HTTP listeners. */
export interface SignedPath {
  readonly tftp: Pick<TftpServerDeps, 'virtualFile' | 'isOptional'>
  readonly routes: (app: FastifyInstance) => void
}

/** The signed path of a segment where machines reach us as `policy` says. */
export function signedPath(
  deps: SignedPathDeps,
  policy: Pick<BootPolicy, 'address' | 'httpPort'>,
): SignedPath {
  const desk = grubDesk(deps, policy)
  const virtualFile = desk.virtualFile.bind(desk)
  return { tftp: { virtualFile, isOptional: isOptionalPart }, routes: grubRoutes(desk) }
}

function grubDesk(deps: SignedPathDeps, policy: Pick<BootPolicy, 'address' | 'httpPort'>): GrubDesk {
  const { registry, config, ...shared } = deps
  const { layersDir } = stateDirs(config.stateDir, config.runDir)
  const files = new BootFiles({ directories: [layersDir] })
  const targetOfMachine = (machineId = ''): BootTarget | undefined => {
    const server = registry.servers.findByMachine(machineId)
    return server === undefined ? undefined : bootTargetOf(server, registry, config)
  }
  const imageOf = (serverId: string): ImageRecord | undefined => {
    const imageId = registry.servers.get(serverId)?.imageId
    return imageId === undefined ? undefined : registry.images.get(imageId)
  }
  const openKernel: GrubDeskDeps['openKernel'] = async (serverId, file) => {
    const layerId = imageOf(serverId)?.layerId
    return layerId === undefined ? undefined : files.open(join(layerId, file))
  }
  return new GrubDesk({
    ...shared,
    policy,
    openKernel,
    findTarget: (mac, ip) => {
      const asking = registry.machines.findByIp(ip)
      const isAnother = asking !== undefined && registry.machines.findByMac(mac)?.id !== asking.id
      return isAnother ? undefined : targetOfMachine(registry.machines.findByMac(mac)?.id)
    },
    kernelArguments: (serverId) => imageOf(serverId)?.kernelArguments,
  })
}
