import t from 'tap'
import { bootClient } from '../../../src/netboot/dhcp/boot-traits.js'

const MAC = '52:54:00:00:00:01'

void t.test('iPXE is known by its bare user class, by a counted one, and by option 175', (t) => {
  t.match(bootClient(MAC, { userClass: Buffer.from('iPXE') }), { isIpxe: true, userClass: 'iPXE' })
  t.match(bootClient(MAC, { userClass: Buffer.from('\x04iPXE\x03foo') }), { isIpxe: true, userClass: 'iPXE' })
  t.equal(bootClient(MAC, { ipxe: new Uint8Array(0) }).isIpxe, true)
  t.equal(bootClient(MAC, { userClass: Buffer.from('other') }).isIpxe, false)
  t.end()
})

void t.test('option 60 tells PXE from HTTP boot', (t) => {
  t.match(bootClient(MAC, { vendorClass: 'PXEClient:Arch:00007' }), {
    isPxeClient: true,
    isHttpClient: false,
  })
  t.match(bootClient(MAC, { vendorClass: 'HTTPClient:Arch:00016' }), {
    isPxeClient: false,
    isHttpClient: true,
  })
  t.match(bootClient(MAC, { vendorClass: 'MSFT 5.0' }), { isPxeClient: false, isHttpClient: false })
  t.end()
})

void t.test('the architecture is the first of option 93', (t) => {
  t.equal(bootClient(MAC, { clientArch: [7, 9] }).arch, 7)
  t.equal(bootClient(MAC, {}).arch, undefined)
  t.end()
})

void t.test('a UUID of zeros or of another type is none', (t) => {
  const uuid = Uint8Array.of(0, ...new Array<number>(16).fill(0xab))
  t.equal(bootClient(MAC, { clientUuid: uuid }).uuid, 'ab'.repeat(16))
  t.equal(bootClient(MAC, { clientUuid: new Uint8Array(17) }).uuid, undefined)
  t.equal(bootClient(MAC, { clientUuid: Uint8Array.of(1, ...uuid.subarray(1)) }).uuid, undefined)
  t.end()
})
