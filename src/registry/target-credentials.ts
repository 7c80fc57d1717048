import { createHmac } from 'node:crypto'
import type { ServerRecord } from './records.js'

/**
 * What a server's target proves itself with to the server (mutual CHAP, RFC 7143 §12.1.3). It follows from the
 * server's own secret of this boot and cannot be turned back into it: 96 bits, 16 characters, as iPXE and Windows take.
 */
export function targetCredentials({ chapUser, chapSecret }: ServerRecord): { user: string; secret: string } {
  const digest = createHmac('sha256', chapSecret).update('target').digest()
  return { user: `${chapUser}-target`, secret: digest.subarray(0, 12).toString('base64url') }
}
