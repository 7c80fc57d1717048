import { isAmong, isUnstable } from './disk-names.js'
import {
  ISCSI_DRIVERS,
  PHYSICAL_NICS,
  type ImageFacts,
  type InitramfsFacts,
  type SystemFacts,
} from './facts.js'
import { told, type Rule } from './rule.js'

/** What a Linux should be that many servers are cloned from. */
export const SYSTEM_RULES: readonly Rule[] = [
  ofSystem({
    id: 'menu',
    breaks: 'boot',
    check: ({ menu }) => {
      if (menu?.kernelPath === undefined) return 'no grub.cfg has an entry that starts a kernel'
      if (!menu.hasKernel) return `${menu.path} starts ${menu.kernelPath}, which is not there`
      if (menu.initrdPath !== undefined && !menu.hasInitrd)
        return `${menu.path} loads ${menu.initrdPath}, which is not there`
      return undefined
    },
    remedy: 'make the menu again (update-grub, grub2-mkconfig)',
    isFixable: false,
  }),
  ofSystem({
    id: 'grub-root',
    breaks: 'boot',
    check: ({ menu }, { fileSystems }) =>
      told(
        (menu?.searches ?? []).filter((source) => isAmong(source, fileSystems) === false),
        (source) => `GRUB searches for ${source}, which is not on the disk`,
      ),
    remedy: 'name the label or UUID of a file system that is on the disk',
    isFixable: true,
  }),
  ofSystem({
    id: 'kernel-root',
    breaks: 'boot',
    check: ({ menu }, { fileSystems }) => {
      const root = menu?.arguments.findLast((word) => word.startsWith('root='))?.slice('root='.length)
      if (root === undefined) return menu === undefined ? undefined : 'the kernel is given no root='
      if (isUnstable(root)) return `root=${root} is another disk on another machine`
      return isAmong(root, fileSystems) === false ? `root=${root} is not on the disk` : undefined
    },
    remedy: 'give the kernel root=LABEL= or root=UUID= of the root file system',
    isFixable: true,
  }),
  ofSystem({
    id: 'fstab',
    breaks: 'boot',
    check: ({ fstab }, { fileSystems }) => {
      const needed = fstab.filter(({ isNeeded }) => isNeeded)
      const unstable = needed.filter(({ source }) => isUnstable(source))
      const lost = needed.filter(({ source }) => isAmong(source, fileSystems) === false)
      const seen = (words: string) => (entry: { source: string; path: string }) =>
        `${entry.path} is on ${entry.source}, ${words}`
      return (
        told(unstable, seen('another disk on another machine')) ??
        told(lost, seen('which is not on the disk'))
      )
    },
    remedy: 'name file systems in /etc/fstab by LABEL= or UUID=, and only those that are there',
    isFixable: true,
  }),
  ofSystem({
    id: 'kernel-flavour',
    breaks: 'inic',
    check: ({ kernel }) => {
      if (kernel === undefined) return 'no kernel has its modules in /lib/modules'
      const isPhysical = PHYSICAL_NICS.some((driver) => kernel.drivers.includes(driver))
      return isPhysical
        ? undefined
        : `kernel ${kernel.version} has no driver for any physical NIC, it is made for clouds`
    },
    remedy: 'install the general kernel (Debian: linux-image-amd64) in place of the cloud one',
    isFixable: false,
  }),
  ofInitramfs({
    id: 'initramfs',
    breaks: 'boot',
    check: ({ damage }) => damage && `the initramfs cannot be unpacked: ${damage}`,
    remedy: 'make the initramfs again (update-initramfs -u, dracut -f)',
    isFixable: false,
  }),
  ofInitramfs({
    id: 'initramfs-iscsi',
    breaks: 'inic',
    check: (initramfs) => {
      if (initramfs.damage !== undefined) return undefined
      const missing: string[] = ISCSI_DRIVERS.filter((driver) => !initramfs.drivers.includes(driver))
      if (!initramfs.hasIscsistart) missing.push('iscsistart')
      if (missing.length > 0) return `the initramfs lacks ${missing.join(', ')}`
      return initramfs.startsIscsi
        ? undefined
        : 'the initramfs does not log in to the disk in the iBFT (ISCSI_AUTO)'
    },
    remedy: 'install open-iscsi and the plug-in sdi-inic, and make the initramfs again',
    isFixable: true,
  }),
  ofInitramfs({
    id: 'initramfs-nic',
    breaks: 'inic',
    check: (initramfs) => {
      if (initramfs.damage !== undefined) return undefined
      const has = (driver: string): boolean => initramfs.drivers.includes(driver)
      return ['virtio_net', ...PHYSICAL_NICS].some(has) ? undefined : 'the initramfs has no driver of any NIC'
    },
    remedy: 'make the initramfs with the drivers of every NIC (MODULES=most; dracut --no-hostonly)',
    isFixable: true,
  }),
  ofSystem({
    id: 'cloud-init',
    breaks: 'inic',
    check: ({ cloudInit, menu }) => {
      if (cloudInit === undefined) return 'cloud-init is not installed'
      const isOff = cloudInit.isDisabled || menu?.arguments.includes('cloud-init=disabled') === true
      return isOff ? 'cloud-init is switched off' : undefined
    },
    remedy: 'install cloud-init: without it a server gets neither name, keys nor network from its seed',
    isFixable: false,
  }),
  ofSystem({
    id: 'datasource',
    breaks: 'inic',
    check: ({ cloudInit }) => {
      const list = cloudInit?.datasources
      const isSeen = list === undefined || list.includes('ConfigDrive') || list.includes('NoCloud')
      return isSeen ? undefined : `cloud-init reads ${list.join(', ')}, neither ConfigDrive nor NoCloud`
    },
    remedy: 'put ConfigDrive and NoCloud into datasource_list (plug-in cloud-init)',
    isFixable: true,
  }),
  ofSystem({
    id: 'machine-id',
    breaks: 'inic',
    check: ({ identity }) =>
      identity.machineId && `every clone would have the machine-id ${identity.machineId}`,
    remedy: 'empty /etc/machine-id, so that each server makes its own',
    isFixable: true,
  }),
  ofSystem({
    id: 'host-keys',
    breaks: 'inic',
    check: ({ identity }) =>
      identity.hostKeys.length > 0
        ? `every clone would have the host keys ${identity.hostKeys.join(', ')}`
        : undefined,
    remedy: 'remove /etc/ssh/ssh_host_*, so that each server makes its own',
    isFixable: true,
  }),
  ofSystem({
    id: 'initiator-name',
    breaks: 'inic',
    check: ({ identity }) => identity.initiatorName && `every clone would be ${identity.initiatorName}`,
    remedy: 'put GenerateName=yes into /etc/iscsi/initiatorname.iscsi',
    isFixable: true,
  }),
]

type SystemRule = Omit<Rule, 'check'> & {
  readonly check: (system: SystemFacts, facts: ImageFacts) => string | undefined
}

/** Without a system there is one finding, not twenty. */
function ofSystem(rule: SystemRule): Rule {
  return { ...rule, check: (facts) => facts.system && rule.check(facts.system, facts) }
}

function ofInitramfs(
  rule: Omit<Rule, 'check'> & { check: (initramfs: InitramfsFacts) => string | undefined },
): Rule {
  return ofSystem({ ...rule, check: ({ initramfs }) => initramfs && rule.check(initramfs) })
}
