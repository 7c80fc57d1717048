import fc from 'fast-check'
import t from 'tap'
import {
  decodeReply,
  encodeRequest,
  errorText,
  shownRequest,
  type TgtRequest,
} from '../../../../src/rootdisk/target/tgt/message.js'
import { MalformedPacket } from '../../../../src/wire/malformed-packet.js'
import { EXCHANGES } from './exchanges.js'

/** The option of tgtadm for each value of a request. */
const VALUES: Readonly<Record<string, string>> = {
  '-T': 'targetname',
  '-b': 'path',
  '-Q': 'initiator-name',
  '-I': 'initiator-address',
  '--user': 'user',
  '--password': 'password',
}

/** The request that does what a command line of tgtadm does. */
function requestOf(argv: string): TgtRequest {
  const words = argv.split(' ')
  const after = (option: string): string | undefined =>
    words.includes(option) ? words[words.indexOf(option) + 1] : undefined
  const number = (option: string): number | undefined => {
    const word = after(option)
    return word === undefined ? undefined : Number(word)
  }
  const named = Object.entries(VALUES).flatMap(([option, name]) => {
    const value = after(option)
    return value === undefined ? [] : [[name, value]]
  })
  const params = after('--params')
    ?.split(',')
    .map((pair) => pair.split('='))
  const values = params ?? named
  const [tid, lun] = [number('--tid'), number('--lun')]
  return {
    mode: after('--mode') as TgtRequest['mode'],
    op: after('--op') as TgtRequest['op'],
    ...(tid !== undefined && { tid }),
    ...(lun !== undefined && { lun }),
    ...(words.includes('--force') && { force: true }),
    ...(values.length > 0 && { values: Object.fromEntries(values) as Record<string, string> }),
  }
}

const ours = EXCHANGES.filter(({ tgtadm }) => !/--mode (?:sess|conn|portal)/.test(tgtadm))

void t.test('a request is byte for byte what tgtadm 1.0.85 sends for the same', (t) => {
  t.ok(ours.length > 30)
  for (const { tgtadm, request } of ours) {
    t.equal(Buffer.from(encodeRequest(requestOf(tgtadm))).toString('hex'), request.toString('hex'), tgtadm)
  }
  t.end()
})

void t.test('a reply is read whole, and is waited for while bytes are missing', (t) => {
  for (const { reply, tgtadm } of EXCHANGES) {
    const decoded = decodeReply(reply)
    t.equal(decoded?.error, reply.readUInt32LE(0), tgtadm)
    t.equal(decoded?.text, reply.toString('utf8', 8).replace(/\0$/, ''))
    for (let cut = 0; cut < reply.length; cut += 7) t.equal(decodeReply(reply.subarray(0, cut)), undefined)
  }
  t.end()
})

void t.test('a reply of any bytes is a value, a wait or a MalformedPacket', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        const reply = decodeReply(bytes)
        if (reply !== undefined) return typeof reply.text === 'string'
        return true
      } catch (err) {
        return err instanceof MalformedPacket
      }
    }),
  )
  t.end()
})

void t.test('a value that would end another is refused', (t) => {
  for (const path of ['/disks/a,b', '/disks/a\0b']) {
    t.throws(() => encodeRequest({ mode: 'logicalunit', op: 'new', tid: 1, lun: 1, values: { path } }), {
      message: /comma/,
    })
  }
  t.end()
})

void t.test('what is shown of a request has no secret', (t) => {
  const request: TgtRequest = { mode: 'account', op: 'new', values: { user: 'u', password: 'hidden' } }
  t.equal(shownRequest(request), 'tgtadm --mode account --op new')
  t.equal(
    shownRequest({ mode: 'logicalunit', op: 'delete', tid: 3, lun: 2 }),
    'tgtadm --mode logicalunit --op delete --tid 3 --lun 2',
  )
  t.match([errorText(19), errorText(99)], ['the target is in use', 'error 99'])
  t.end()
})
