import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../clock.js'
import type { Config } from '../config.js'
import { bootDesk, bootHttp, type BootLife } from './boot-http.js'
import { BootTargets } from './boot-target.js'
import { dhcpServers } from './dhcp.js'
import { routerAdvertisers } from './network.js'
import type { EntryContext } from './entry.js'
import { BootFiles } from '../netboot/boot-files.js'
import type { BootPolicy } from '../netboot/decide.js'
import type { LeaseStore } from '../netboot/dhcp/lease-store.js'
import { loadGrubTemplates, type GrubTemplates } from '../netboot/grub/grub-config.js'
import { SIGNED_PARTS } from '../netboot/grub/signed-parts.js'
import type { DhcpWatch } from '../netboot/dhcp/sighting.js'
import { loadScriptTemplates } from '../netboot/ipxe/script.js'
import { loaderCheck } from '../netboot/loader-check.js'
import { parseLoaderTable } from '../netboot/loader-table.js'
import { TftpServer } from '../netboot/tftp/tftp-server.js'
import type { Registry } from '../registry/registry.js'
import { signedPath, type SignedPath } from './signed-path.js'
import { firstOf, machineFiles, tftpOptions } from './tftp.js'
import type { Service } from '../service.js'

// From dist/src/wiring and from src/wiring.
const BOOT_DIRECTORIES = ['../../../boot', '../../boot'].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
)

/** DHCP, TFTP and boot HTTP as the configuration wants them; none when machines are booted by somebody else. */
export async function netbootServices(
  context: EntryContext,
  registry: Registry,
  life: BootLife,
  { leases, watch }: { readonly leases: LeaseStore; readonly watch?: DhcpWatch },
): Promise<readonly Service[]> {
  const { emit } = life
  const { config, log, sockets } = context
  const { boot } = config
  if (boot === undefined) return []
  const { loaders, templates, grubTemplates } = await bootData()
  const policyAt = (address: string): BootPolicy => ({ address, httpPort: boot.httpPort, loaders })
  const files = new BootFiles({ directories: boot.loaderDirs, aliases: SIGNED_PARTS })
  const targets = new BootTargets(registry, config)
  const desk = bootDesk(targets, life)
  const signedAt = (address: string): SignedPath =>
    signedPath({ config, registry, templates: grubTemplates, targets, life }, policyAt(address))
  const http = endpoints(config, sockets.get('boot-http')).map(({ address, fd }) => {
    const parts = { desk, policy: policyAt(address), templates, files }
    return bootHttp({ log, fd, targets, life, also: signedAt(address).routes }, parts)
  })
  const tftp = endpoints(config, sockets.get('tftp')).map((endpoint) => {
    const own = machineFiles({ registry, config, leases }, policyAt(endpoint.address))
    const made = firstOf(own, signedAt(endpoint.address).tftp)
    const options = tftpOptions(config, endpoint)
    return new TftpServer({ options, files, ...made, emit, clock: systemClock, log })
  })
  const dhcp = dhcpServers({ ...context, leases }, registry, { emit, desk, policyAt, watch })
  const first = [loaderCheck(loaders, files, emit), ...(await routerAdvertisers(context, emit))]
  return [...first, ...http, ...(boot.isTftpEnabled ? tftp : []), ...dhcp]
}

/** One for each inherited descriptor, else one for each address of ours that machines are told. */
function endpoints(
  { boot, subnets }: Config,
  fds: readonly number[] | undefined,
): { address: string; fd?: number }[] {
  const address = boot?.address ?? ''
  if (fds !== undefined) return fds.map((fd) => ({ address, fd }))
  const isRelayOnly = subnets.some(({ isRelayed }) => isRelayed)
  const own = subnets.filter(({ isRelayed }) => !isRelayed).map((subnet) => subnet.address)
  const all = isRelayOnly || own.length === 0 ? [address, ...own] : own
  return [...new Set(all)].map((one) => ({ address: one }))
}

async function bootData(): Promise<{
  loaders: ReturnType<typeof parseLoaderTable>
  templates: Awaited<ReturnType<typeof loadScriptTemplates>>
  grubTemplates: GrubTemplates
}> {
  let cause: unknown
  for (const directory of BOOT_DIRECTORIES) {
    try {
      const loaders = parseLoaderTable(await readFile(`${directory}/loaders.json`, 'utf8'))
      const [templates, grubTemplates] = await Promise.all([
        loadScriptTemplates(directory),
        loadGrubTemplates(directory),
      ])
      return { loaders, templates, grubTemplates }
    } catch (err) {
      cause = err
    }
  }
  throw new Error('the boot templates are not beside the program', { cause })
}
