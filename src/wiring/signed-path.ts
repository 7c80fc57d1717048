import type { FastifyInstance } from 'fastify'
import { join } from 'node:path'
import type { Config } from '../config.js'
import type { BootLife } from './boot-http.js'
import type { BootTargets } from './boot-target.js'
import { stateDirs } from '../control/state-dirs.js'
import { BootFiles } from '../netboot/boot-files.js'
import type { BootPolicy } from '../netboot/decide.js'
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
  readonly targets: BootTargets
  readonly life: BootLife
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
  const { registry, config, templates, targets, life } = deps
  const { layersDir } = stateDirs(config.stateDir, config.runDir)
  const files = new BootFiles({ directories: [layersDir] })
  const imageOf = (serverId: string): ImageRecord | undefined => {
    const imageId = registry.servers.get(serverId)?.imageId
    return imageId === undefined ? undefined : registry.images.get(imageId)
  }
  const openKernel: GrubDeskDeps['openKernel'] = async (serverId, file) => {
    const layerId = imageOf(serverId)?.layerId
    return layerId === undefined ? undefined : files.open(join(layerId, file))
  }
  return new GrubDesk({
    templates,
    policy,
    openKernel,
    emit: life.emit,
    findByToken: (token) => targets.byToken(token),
    scriptAsked: (serverId) => life.credentials.scriptAsked(serverId),
    findTarget: (mac, ip) => {
      const asking = registry.machines.findByIp(ip)
      const isAnother = asking !== undefined && registry.machines.findByMac(mac)?.id !== asking.id
      return isAnother ? undefined : targets.byMac(mac)
    },
    kernelArguments: (serverId) => imageOf(serverId)?.kernelArguments,
  })
}
