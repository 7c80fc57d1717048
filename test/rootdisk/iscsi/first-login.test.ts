import fc from 'fast-check'
import t from 'tap'
import {
  FIRST_LOGIN_BYTES,
  readFirstLogin,
  type FirstLogin,
} from '../../../src/rootdisk/iscsi/first-login.js'
import { MalformedPacket } from '../../../src/wire/malformed-packet.js'
import { commandPdu, loginPdu } from '../../fakes/initiator.js'

const NORMAL =
  'InitiatorName=iqn.2026-01.example:a\0TargetName=iqn.2026-01.example:Web-1\0SessionType=Normal\0'
const DISCOVERY = 'InitiatorName=iqn.2026-01.example:a\0SessionType=Discovery\0'
/** Flags: transit, or to be continued, in the security stage. */
const [TRANSIT, CONTINUED] = [0x81, 0x40]

/** What is made of a stream that comes a byte at a time, and of how many bytes. */
function byteByByte(bytes: Buffer): { login: FirstLogin | undefined; read: number } {
  for (let read = 0; read <= bytes.length; read++) {
    const login = readFirstLogin(bytes.subarray(0, read))
    if (login !== undefined) return { login, read }
  }
  return { login: undefined, read: bytes.length }
}

void t.test('a login tells its target in lower case, not before its last byte of text is there', (t) => {
  const pdu = loginPdu(NORMAL, { flags: TRANSIT })
  const login = { targetName: 'iqn.2026-01.example:web-1' }
  t.same(byteByByte(pdu), { login, read: 48 + NORMAL.length })
  t.same(readFirstLogin(Buffer.concat([pdu, pdu])), login, 'what follows does not matter')
  t.end()
})

void t.test('additional header segments come before the text', (t) => {
  const pdu = loginPdu(NORMAL, { flags: TRANSIT })
  pdu.writeUInt8(3, 4)
  const bytes = Buffer.concat([pdu.subarray(0, 48), Buffer.alloc(12, 0x41), pdu.subarray(48)])
  const login = { targetName: 'iqn.2026-01.example:web-1' }
  t.same(byteByByte(bytes), { login, read: 60 + NORMAL.length })
  t.end()
})

void t.test('discovery, and a login without a target name, name none', (t) => {
  for (const text of [DISCOVERY, 'InitiatorName=iqn.2026-01.example:a\0', ''])
    t.same(readFirstLogin(loginPdu(text, { flags: TRANSIT })), { targetName: undefined }, text)
  t.end()
})

void t.test('text that goes on in the next request is good once the name is whole (RFC 7143 §6.2)', (t) => {
  const more = `${NORMAL}AuthMethod=CH`
  t.same(readFirstLogin(loginPdu(more, { flags: CONTINUED })), { targetName: 'iqn.2026-01.example:web-1' })
  t.same(readFirstLogin(loginPdu(`${DISCOVERY}Au`, { flags: CONTINUED })), { targetName: undefined })
  const cut = 'InitiatorName=iqn.2026-01.example:a\0TargetName=iqn.2026-01.exa'
  t.throws(() => readFirstLogin(loginPdu(cut, { flags: CONTINUED })), { message: /does not name its target/ })
  t.end()
})

void t.test('what is no login, and a text longer than may come, is refused with the header', (t) => {
  const command = commandPdu({ lun: 0, cdb: [0x28], itt: 1, cmdSn: 1, flags: 0xc1, edtl: 512 })
  t.throws(() => readFirstLogin(command), { name: 'MalformedPacket' })
  const long = loginPdu('', { flags: TRANSIT })
  long.writeUIntBE(16_385, 5, 3)
  t.throws(() => readFirstLogin(long), { name: 'MalformedPacket', message: /16385/ })
  t.end()
})

void t.test('any bytes: a login, a wish for more within the limit, or MalformedPacket', (t) => {
  const header = fc.uint8Array({ minLength: 48, maxLength: 200 }).map((bytes) => {
    bytes[0] = 0x43
    bytes[5] = 0
    return bytes
  })
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), header), (bytes) => {
      const whole = Buffer.concat([bytes, Buffer.alloc(FIRST_LOGIN_BYTES)])
      try {
        const login = readFirstLogin(Buffer.from(bytes))
        if (login !== undefined) t.same(readFirstLogin(whole), login)
      } catch (err) {
        if (!(err instanceof MalformedPacket)) throw err
        t.throws(() => readFirstLogin(whole), MalformedPacket)
      }
      try {
        if (readFirstLogin(whole.subarray(0, FIRST_LOGIN_BYTES)) === undefined) t.fail('it wants too much')
      } catch (err) {
        if (!(err instanceof MalformedPacket)) throw err
      }
    }),
  )
  t.end()
})

void t.test('any login text gives the same name byte by byte as at once', (t) => {
  const value = fc.stringMatching(/^[a-z0-9.:-]{1,223}$/)
  fc.assert(
    fc.property(value, fc.nat({ max: 7 }), (name, ahs) => {
      const pdu = loginPdu(`InitiatorName=iqn.a\0TargetName=${name}\0`, { flags: TRANSIT })
      pdu.writeUInt8(ahs, 4)
      const bytes = Buffer.concat([pdu.subarray(0, 48), Buffer.alloc(ahs * 4), pdu.subarray(48)])
      t.same(byteByByte(bytes).login, { targetName: name })
    }),
    { numRuns: 30 },
  )
  t.end()
})
