import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { DaemonError } from '../../../src/errors.js'
import { readUserData, USER_DATA_MAX_BYTES, type OsType } from '../../../src/firstboot/seed/user-data.js'

const MIME = 'Content-Type: multipart/mixed; boundary="b"\nMIME-Version: 1.0\n\n--b\n'
const KINDS: readonly (readonly [text: string, kind: string, osType?: OsType])[] = [
  ['#cloud-config\nruncmd: [reboot]\n', '#cloud-config'],
  ['#cloud-config\r\nruncmd: [reboot]\r\n', '#cloud-config'],
  ['#Cloud-Config\n{}\n', '#cloud-config'],
  ['\n\n#cloud-config\n{}\n', '#cloud-config'],
  ['#cloud-config-archive\n[]\n', '#cloud-config-archive'],
  ['#cloud-config-jsonp\n[]\n', '#cloud-config-jsonp'],
  ['#cloud-boothook\n', '#cloud-boothook'],
  ['#include\nhttp://h/x\n', '#include'],
  ['#include-once\nhttp://h/x\n', '#include-once'],
  ['#part-handler\n', '#part-handler'],
  ['## template: jinja\n#cloud-config\n{}\n', '## template: jinja'],
  ['#!/bin/sh\ntrue\n', '#!'],
  [MIME, 'mime'],
  ['Content-Type: multipart/mixed;\n boundary="b"\nmime-version: 1.0\n\n', 'mime'],
  ['#ps1_sysnative\nGet-Date\n', '#ps1_sysnative', 'windows'],
  ['#ps1_x86\nGet-Date\n', '#ps1_x86', 'windows'],
  ['#ps1\nGet-Date\n', '#ps1', 'windows'],
  ['rem cmd\r\ndir\r\n', 'rem cmd', 'windows'],
  ['<powershell>\nGet-Date\n</powershell>\n', '<powershell', 'windows'],
  ['<script>\ndir\n</script>\n', '<script', 'windows'],
]

for (const [text, kind, osType = 'linux'] of KINDS) {
  const name = JSON.stringify(text.slice(0, 30))
  void t.test(`${name} is ${kind}, handed on untouched, and nothing to warn of`, (t) => {
    const given = Buffer.from(text)
    t.strictSame(readUserData(given, osType), { kind, bytes: given, warnings: [] })
    t.end()
  })

  void t.test(`${name} in base64 is decoded, and said to be`, (t) => {
    for (const base64 of [
      Buffer.from(text).toString('base64'),
      `${Buffer.from(text).toString('base64').replaceAll(/.{20}/g, '$&\n')}\n`,
    ]) {
      const { bytes, warnings } = readUserData(Buffer.from(base64), osType)
      t.equal(Buffer.from(bytes).toString(), text)
      t.strictSame(warnings, ['it was base64 and is handed on decoded'])
    }
    t.end()
  })
}

void t.test('compressed data is handed on as it is, however large it will be', (t) => {
  const bomb = gzipSync(Buffer.alloc(20 * 1024 * 1024))
  t.ok(bomb.length < USER_DATA_MAX_BYTES)
  t.strictSame(readUserData(bomb, 'linux'), { kind: 'gzip', bytes: bomb, warnings: [] })
  const inBase64 = readUserData(Buffer.from(bomb.toString('base64')), 'linux')
  t.strictSame([inBase64.kind, Buffer.from(inBase64.bytes)], ['gzip', bomb])
  t.end()
})

for (const [what, text, osType, warning] of [
  ['unknown head', 'echo hello\n', 'linux', /begins with nothing a guest knows/],
  ['byte order mark', '\ufeff#cloud-config\n{}\n', 'linux', /byte order mark/],
  ['PowerShell for Linux', '#ps1\n', 'linux', /^#ps1 is for windows images, and this one is linux$/],
  ['boothook for Windows', '#cloud-boothook\n', 'windows', /^#cloud-boothook is for linux images/],
  ['upper case for Windows', 'REM CMD\r\ndir\r\n', 'windows', /only when it begins "rem cmd"$/],
  ['blank line for Windows', '\n#ps1\n', 'windows', /only when it begins "#ps1"$/],
  [
    'MIME for Windows',
    'MIME-Version: 1.0\nContent-Type: multipart/mixed\n',
    'windows',
    /begins "Content-Type: multi/,
  ],
  ['script with CRLF for Linux', '#!/bin/sh\r\ntrue\r\n', 'linux', /carriage return/],
  [
    'base64 of nothing known',
    Buffer.from('hello world').toString('base64'),
    'linux',
    /nothing a guest knows/,
  ],
] as const) {
  void t.test(`a warning tells of: ${what}; the data is handed on`, (t) => {
    const given = Buffer.from(text)
    const { bytes, warnings } = readUserData(given, osType)
    t.ok(given.equals(bytes))
    t.equal(warnings.length, 1)
    t.match(warnings[0], warning)
    t.end()
  })
}

void t.test('no warning for what an image of unknown kind may read, or for no user data', (t) => {
  t.strictSame(readUserData(Buffer.from('#ps1\n'), 'other').warnings, [])
  t.strictSame(readUserData(Buffer.from('#!/bin/bash\r\n'), 'windows').warnings, [])
  t.strictSame(readUserData(new Uint8Array(0), 'linux').warnings, [])
  t.end()
})

void t.test('the limit is 32 KiB before base64', (t) => {
  const full = Buffer.alloc(USER_DATA_MAX_BYTES, '#!')
  t.equal(readUserData(full, 'linux').bytes.length, 32_768)
  t.equal(readUserData(Buffer.from(full.toString('base64')), 'linux').bytes.length, 32_768)
  const over = Buffer.alloc(USER_DATA_MAX_BYTES + 1, '#!')
  for (const given of [over, Buffer.from(over.toString('base64'))]) {
    t.throws(() => readUserData(given, 'linux'), {
      code: 'INVALID_INPUT',
      message: 'userData: expected at most 32768 bytes before base64, got 32769',
    })
  }
  t.end()
})

void t.test('any bytes are user data or too much of it, in no time', (t) => {
  const any = fc.oneof(
    fc.uint8Array({ maxLength: 5000 }),
    fc.string({ unit: 'binary' }).map((text) => Buffer.from(text)),
    fc
      .array(fc.constantFrom('a:', '\n', ' ', '\r\n', 'mime-version', '#', '=', 'QUJD'))
      .map((parts) => Buffer.from(parts.join(''))),
  )
  fc.assert(
    fc.property(any, fc.constantFrom<OsType>('linux', 'windows', 'other'), (given, osType) => {
      const { bytes } = readUserData(given, osType)
      return bytes === given || bytes.length < given.length
    }),
  )
  t.throws(() => readUserData(Buffer.alloc(1 << 22, 'a:\n '), 'linux'), DaemonError)
  t.end()
})
