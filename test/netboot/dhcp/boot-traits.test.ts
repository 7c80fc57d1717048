import t from 'tap'
import { bootClient, clientMac } from '../../../src/netboot/dhcp/boot-traits.js'
import { dhcpRequest } from '../../fakes/dhcp-request.js'

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

void t.test('a machine is known by its MAC whatever client id it sends along its boot', (t) => {
  const ids = [undefined, Uint8Array.of(1, 0x52, 0x54, 0, 0, 0, 1), Uint8Array.of(255, 1, 2, 3, 4, 0, 2)]
  for (const clientId of ids) {
    t.equal(clientMac(dhcpRequest(1, clientId === undefined ? {} : { clientId })), MAC)
  }
  t.end()
})

void t.test('an InfiniBand port has one name, whichever program of its boot asks (RFC 4390)', (t) => {
  const guid = [0x00, 0x02, 0xc9, 0x03, 0x00, 0x0a, 0x1b, 0x2c]
  const link = [0x80, 0, 0, 0x48, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, ...guid]
  const name = (clientId: number[], chaddr: number[] = []): string | undefined =>
    clientMac(
      dhcpRequest(1, clientId.length === 0 ? {} : { clientId: Uint8Array.from(clientId) }, {
        htype: 32,
        chaddr: Uint8Array.from(chaddr),
      }),
    )
  const mac = '00:02:c9:0a:1b:2c'
  t.equal(name([32, ...guid]), mac, 'iPXE')
  t.equal(name([], guid), mac, 'iPXE without a client id')
  t.equal(name([255, 0, 0, 0, 0, 0, 2, 0, 0, 2, 0xc9, 0, ...guid]), mac, 'dhclient as Mellanox set it up')
  t.equal(name([32, ...link]), mac, 'the whole address')
  const [one, other] = [1, 2].map((iaid) =>
    name([255, 0, 0, 0, iaid, 0, 2, 0, 0, 0xab, 0x11, 1, 2, 3, 4, 5, 6, 7, 8]),
  )
  t.not(one, other, 'two ports of one DUID')
  t.match(one, /^02:/)
  t.equal(name([]), undefined)
  t.equal(name([0, 0]), undefined)
  t.end()
})
