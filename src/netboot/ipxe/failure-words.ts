/**
 * What the first byte of an iPXE error number says, where it has a plain meaning for an operator. The numbers are in
 * every build (`http://ipxe.org/0f0a6039` is a reset connection); the rest of the number names a place in the source.
 */
const CAUSES: Readonly<Record<number, string>> = {
  0x02: 'permission denied',
  0x0f: 'connection reset: nothing listens there, or the portal closed it',
  0x28: 'network unreachable',
  0x2d: 'not found',
  0x4c: 'connection timed out: no answer from the portal',
}

/** An `${errno}` as a script reports it (`0xf0a6039`) with its meaning, where one is known; else unchanged. */
export function failureWords(errno: string): string {
  if (!/^0x[0-9a-f]{1,8}$/i.test(errno)) return errno
  const cause = CAUSES[Number(errno) >>> 24]
  return cause === undefined ? errno : `${errno} (${cause})`
}
