import { constants, createPrivateKey, privateDecrypt, type KeyObject } from 'node:crypto'
import { ApiError } from './api-client.js'

/**
 * The password in `sealed` (base64), as Cloudbase-Init seals it: RSA with PKCS #1 v1.5 (RFC 8017 §7.2).
 * The padding is taken off here: OpenSSL's own way answers a wrong key with random bytes instead of an error (implicit
 * rejection), and Node 20 refuses it where OpenSSL cannot do that (CVE-2023-46809).
 * @param privateKeyPem an RSA key as PEM (PKCS #1 or #8)
 * @throws ApiError when the key is none, or is not the one it was sealed for
 */
export function openSealedPassword(sealed: string, privateKeyPem: string): string {
  const key = rsaKey(privateKeyPem)
  const message = decrypted(key, Buffer.from(sealed, 'base64'))
  const end = message.indexOf(0, 2)
  // 0, 2, at least eight bytes that are not 0, 0, the password
  if (message[0] !== 0 || message[1] !== 2 || end < 10) throw notForThisKey()
  return message.subarray(end + 1).toString('utf8')
}

function rsaKey(pem: string): KeyObject {
  try {
    const key = createPrivateKey(pem)
    if (key.asymmetricKeyType === 'rsa') return key
  } catch {
    // told below: a file of ssh-keygen's own format cannot be read either
  }
  const remedy = 'ssh-keygen -p -m PEM -f FILE rewrites one of OpenSSH'
  throw new ApiError(`private-key: expected an RSA key without a passphrase in PEM (${remedy})`)
}

function decrypted(key: KeyObject, sealed: Buffer): Buffer {
  try {
    return privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, sealed)
  } catch {
    throw notForThisKey()
  }
}

function notForThisKey(): ApiError {
  return new ApiError('private-key: the password was not sealed for this key')
}
