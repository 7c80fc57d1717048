/**
 * What shim and its GRUB are called when they are asked for, and what Debian calls the signed files: `shimx64.efi` of
 * the same directory is not signed by anybody that firmware trusts.
 */
export const SIGNED_PARTS: ReadonlyMap<string, string> = new Map([
  ['shimx64.efi', 'shimx64.efi.signed'],
  ['grubx64.efi', 'grubnetx64.efi.signed'],
  ['mmx64.efi', 'mmx64.efi.signed'],
  ['shimaa64.efi', 'shimaa64.efi.signed'],
  ['grubaa64.efi', 'grubnetaa64.efi.signed'],
  ['mmaa64.efi', 'mmaa64.efi.signed'],
])

/** shim 16 and GRUB 2.06 ask for these and go on without them. */
const OPTIONAL =
  /^(?:revocations[a-z_]*\.efi|shim_certificate_\d+\.efi|grub\/[a-z0-9_-]+\/[a-z0-9_]+\.(?:lst|mod))$/

/** `grub.cfg` in GRUB's prefix, or with the hardware type and address of the NIC (GRUB manual, "Network"). */
const CONFIG = /^grub\/grub\.cfg(?:-01-((?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}))?$/i

/** What helps an image without a kernel beside it. */
export const NO_KERNEL_REMEDY =
  'build the image again (ingot image build), or have the machine boot without Secure Boot (ingot machine set NAME --no-loader)'

/** Whether a loader begins the signed path: firmware trusts it, it trusts GRUB, and GRUB the kernel. */
export function isSignedLoader(name: string | undefined): boolean {
  return name !== undefined && /^shim[a-z0-9]*\.efi$/.test(name)
}

/** Whether a missing file of that name is nothing to tell anybody. */
export function isOptionalPart(name: string): boolean {
  return OPTIONAL.test(name)
}

/** Whose configuration `name` is, by MAC if it has one; undefined when it is no configuration. */
export function grubConfigName(name: string): { readonly mac: string | undefined } | undefined {
  const match = CONFIG.exec(name)
  return match === null ? undefined : { mac: match[1]?.toLowerCase().replaceAll('-', ':') }
}
