import { MalformedPacket } from '../../wire/malformed-packet.js'
import { decodeLoginRequest } from './login-pdu.js'
import { BHS_BYTES } from './pdu.js'
import { tooLong } from './receiver.js'
import { decodeText } from './text.js'

/** The largest data segment of a login that is taken. */
export const LOGIN_DATA_BYTES = 16_384

/** The most bytes that {@link readFirstLogin} ever wants: header, additional headers, text. */
export const FIRST_LOGIN_BYTES = BHS_BYTES + 255 * 4 + LOGIN_DATA_BYTES

/** Whom a new connection wants: a target by its name in lower case; nobody in discovery, or by mistake. */
export interface FirstLogin {
  readonly targetName: string | undefined
}

/**
 * What the first bytes of a connection say; undefined while more are needed. The names come in the first request
 * (RFC 7143 §6.2.2: InitiatorName, SessionType and TargetName), which may come in many TCP segments.
 * @throws MalformedPacket when it is no login, is too long, or goes on in a second request before its target's name
 */
export function readFirstLogin(bytes: Buffer): FirstLogin | undefined {
  if (bytes.length < BHS_BYTES) return undefined
  const { isContinued } = decodeLoginRequest(bytes)
  const textAt = BHS_BYTES + bytes.readUInt8(4) * 4
  const textBytes = bytes.readUIntBE(5, 3)
  if (textBytes > LOGIN_DATA_BYTES) throw tooLong(textBytes, LOGIN_DATA_BYTES)
  if (bytes.length < textAt + textBytes) return undefined
  const text = bytes.subarray(textAt, textAt + textBytes)
  // The pair behind the last NUL goes on in the next request.
  const keys = new Map(decodeText(isContinued ? text.subarray(0, text.lastIndexOf(0) + 1) : text))
  const targetName = keys.get('TargetName')?.toLowerCase()
  if (isContinued && targetName === undefined && keys.get('SessionType') !== 'Discovery')
    throw new MalformedPacket('iSCSI login request', 1, 'the first one does not name its target')
  return { targetName }
}
