import { readdirSync } from 'node:fs'
import t from 'tap'
import { clientNames, parseClient, readClient } from './client-file.js'
import { playClient } from './play.js'

for (const name of clientNames()) {
  void t.test(`${name}: everything that the client asks is answered as its file says`, async (t) => {
    const client = readClient(name)
    t.same(await playClient(client), [], client.name)
  })
}

void t.test('every recorded conversation belongs to a client', (t) => {
  const recorded = readdirSync('fixtures/dhcp').filter((file) => file.endsWith('.pcap'))
  const played = clientNames().flatMap((name) =>
    readClient(name).step.flatMap((step) => ('dhcp' in step ? (step.dhcp.pcap ?? []) : [])),
  )
  t.same(
    recorded.filter((file) => !played.includes(file.replace('.pcap', ''))),
    [],
  )
  t.end()
})

const DISCOVER = `name = "x"
source = "modelled for this test"
[machine]
nics = [{ mac = "02:00:00:00:00:01", ip = "198.18.0.60" }]
[sends]
chaddr = "02:00:00:00:00:01"
options = { 60 = "PXEClient:Arch:00007:UNDI:003000", 93 = "0x0007" }
[[step]]
`
const WRONG: readonly (readonly [what: string, step: string, sentence: RegExp])[] = [
  ['another type', 'dhcp = {}\ngets = { type = "NAK" }', /type is OFFER, expected NAK/],
  [
    'another address',
    'dhcp = {}\ngets = { type = "OFFER", yiaddr = "198.18.0.61" }',
    /yiaddr is 198.18.0.60/,
  ],
  ['another boot file', 'dhcp = {}\ngets = { type = "OFFER", boots = "x.efi" }', /boot file is snponly.efi/],
  ['no boot file', 'dhcp = {}\ngets = { type = "OFFER", boots = false }', /expected nothing/],
  [
    'another destination',
    'dhcp = {}\ngets = { type = "OFFER", to = "198.18.0.255:68" }',
    /destination is 255/,
  ],
  [
    'an option that is there',
    'dhcp = {}\ngets = { type = "OFFER", without = [54] }',
    /option 54, which must not/,
  ],
  ['an option that is not', 'dhcp = {}\ngets = { type = "OFFER", options = { 44 = "*" } }', /no option 44/],
  ['another option', 'dhcp = {}\ngets = { type = "OFFER", options = { 54 = "10.0.0.1" } }', /option 54 is/],
  ['silence', 'dhcp = {}\nsilence = "unknown-machine"', /answered with OFFER.*expected silence/],
  ['an answer', 'dhcp = { chaddr = "02:00:00:00:00:09" }\ngets = { type = "OFFER" }', /no answer/],
  [
    'another reason',
    'dhcp = { chaddr = "02:00:00:00:00:09" }\nsilence = "pool-full"',
    /not counted as pool-full/,
  ],
  ['an event', 'dhcp = {}\ngets = { type = "OFFER" }\nevents = ["boot.loop"]', /no event boot.loop/],
  ['another error', 'tftp = { file = "none" }\ngets = { error = 2 }', /error is 1, expected 2/],
  [
    'another file',
    'tftp = { file = "snponly.efi" }\ngets = { content = "undionly.kpxe" }',
    /are not undionly/,
  ],
  ['an OACK', 'tftp = { file = "snponly.efi" }\ngets = { oack = { blksize = "512" } }', /OACK undefined/],
  ['TFTP silence', 'tftp = { file = "snponly.efi" }\nsilence = "dropped"', /answered, expected silence/],
  ['another status', 'http = { url = "http://198.18.0.1:8080/x" }\ngets = { status = 200 }', /status is 404/],
]

for (const [what, step, sentence] of WRONG) {
  void t.test(`a client file that expects ${what} fails, and says so`, async (t) => {
    const wrong = await playClient(parseClient(DISCOVER + step, 'wrong.toml'))
    t.match(wrong[0], sentence)
    t.equal(wrong.length >= 1, true)
  })
}

void t.test('a key that the format does not have is refused with its step', (t) => {
  const step = 'dhcp = {}\ngets = { type = "OFFER", yiadr = "198.18.0.60" }'
  t.throws(() => parseClient(DISCOVER + step, 'wrong.toml'), { message: /^wrong\.toml: step 1: / })
  t.throws(() => parseClient(`nmae = "x"\n${DISCOVER}dhcp = {}\ngets = { type = "OFFER" }`, 'wrong.toml'))
  t.end()
})
