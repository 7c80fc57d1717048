import t from 'tap'
import { parseConfig } from '../../src/config.js'
import { ibftGateway, type Booted } from '../../src/wiring/ibft-gateway.js'

const BOOT = '[target]\naddress = "198.18.0.1"\n[boot]\naddress = "198.18.0.1"\n'
const NEAR = '[[subnet]]\ncidr = "198.18.0.0/24"\n'
const FAR = '[[subnet]]\ncidr = "198.18.1.0/24"\nrelayed = true\n'
const ONE = parseConfig(BOOT + NEAR, 'FILE')
const TWO = parseConfig(BOOT + NEAR + FAR, 'FILE')
const LINUX: Booted = {
  server: { network: undefined },
  nic: { ip: '198.18.0.10', role: 'tenant' },
  osType: 'linux',
}
const WINDOWS: Booted = { ...LINUX, osType: 'windows' }

for (const [what, booted, where, wanted] of [
  ['Windows beside the target is not told its router', WINDOWS, ONE, 'left-out'],
  ['Linux with its way out by this NIC is', LINUX, ONE, 'kept'],
  ['a guest of unknown kind is', { ...LINUX, osType: 'other' }, ONE, 'kept'],
  ['a storage NIC is not', { ...LINUX, nic: { ip: '198.18.0.10', role: 'storage' } }, ONE, 'left-out'],
  ['a server with a network document is not', { ...LINUX, server: { network: '{}' } }, ONE, 'left-out'],
  ['Windows in another segment is', { ...WINDOWS, nic: { ip: '198.18.1.10', role: 'tenant' } }, TWO, 'kept'],
  ['Windows outside every segment is', { ...WINDOWS, nic: { ip: '10.0.0.1', role: 'tenant' } }, TWO, 'kept'],
  [
    'Windows without a fixed address in the only segment is not',
    { ...WINDOWS, nic: { ip: undefined, role: 'tenant' } },
    ONE,
    'left-out',
  ],
  [
    'Windows without a fixed address in any of two segments is',
    { ...WINDOWS, nic: { ip: undefined, role: 'tenant' } },
    TWO,
    'kept',
  ],
  ['a machine without a NIC is', { ...WINDOWS, nic: undefined }, TWO, 'kept'],
] as const) {
  void t.test(`what the iBFT says of the gateway: ${what}`, (t) => {
    t.equal(ibftGateway(booted, where), wanted)
    t.end()
  })
}
