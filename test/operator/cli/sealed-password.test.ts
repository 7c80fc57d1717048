import { constants, generateKeyPairSync, publicEncrypt } from 'node:crypto'
import t from 'tap'
import { openSealedPassword } from '../../../src/operator/cli/sealed-password.js'

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const PEM = privateKey.export({ type: 'pkcs1', format: 'pem' }).toString()

/** As Cloudbase-Init does (plugins/common/setuserpassword.py: RSA_public_encrypt, RSA_PKCS1_PADDING, base64). */
function sealed(password: string): string {
  const bytes = publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_PADDING }, Buffer.from(password))
  return bytes.toString('base64')
}

void t.test('a password sealed with PKCS #1 v1.5 is opened with either PEM form of the key', (t) => {
  t.equal(openSealedPassword(sealed('Wxq9!pässw'), PEM), 'Wxq9!pässw')
  const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  t.equal(openSealedPassword(sealed('x'), pkcs8), 'x')
  t.end()
})

void t.test('another key, or other bytes, are told and never give a wrong password', (t) => {
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  const refused = { name: 'ApiError', message: /not sealed for this key/ }
  const pem = other.export({ type: 'pkcs1', format: 'pem' }).toString()
  t.throws(() => openSealedPassword(sealed('secret'), pem), refused)
  t.throws(() => openSealedPassword('AAAA', PEM), refused)
  t.throws(() => openSealedPassword('', PEM), refused)
  t.end()
})

void t.test('a file that is no RSA key in PEM is refused with the remedy', (t) => {
  const ed25519 = generateKeyPairSync('ed25519')
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString()
  for (const text of [
    '',
    'ssh-rsa AAAA',
    ed25519,
    '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n',
  ]) {
    t.throws(() => openSealedPassword(sealed('x'), text), {
      name: 'ApiError',
      message: /ssh-keygen -p -m PEM/,
    })
  }
  t.end()
})
