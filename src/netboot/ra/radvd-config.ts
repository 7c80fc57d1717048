/**
 * radvd's configuration for boot segments: advertisements and nothing else (RFC 4861 §6.2.1).
 *
 * iPXE (2019 and later) configures IPv4 and IPv6 side by side and goes on when both have ended. Its IPv6 part asks for
 * a router five times, 12 s in all, and ends at the first advertisement without M and O flags; a prefix is not needed.
 * So nobody is given an IPv6 address or a route by this: no prefix, and a router lifetime of 0.
 * @param interfaces their names in the kernel
 */
export function radvdConfig(interfaces: readonly string[]): string {
  return interfaces.map(section).join('')
}

function section(name: string): string {
  return [
    `interface ${name} {`,
    '  AdvSendAdvert on;',
    '  AdvDefaultLifetime 0;',
    '  AdvCurHopLimit 0;', // unspecified: any other would be set for this host too
    '  AdvManagedFlag off;',
    '  AdvOtherConfigFlag off;',
    '  IgnoreIfMissing on;', // an interface that comes later is served later
    '};',
    '',
  ].join('\n')
}
