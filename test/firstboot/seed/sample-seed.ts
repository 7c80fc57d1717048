import type { NetworkModel } from '../../../src/firstboot/network/network.js'
import type { SeedInput } from '../../../src/firstboot/seed/seed-input.js'

const RSA = `ssh-rsa ${'AAAAB3NzaC1yc2EAAAADAQABAAABgQC7'.repeat(4)}== admin@example`
const ED25519 = `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIkz1vXbO3y1m0sQ8u5kC2bq9m4vT6WnqYg0Zf7dLhXe Zoë "the 😀" \\ops`

const HASH =
  '$6$ingotsalt$NahS/pR5oYPFBwlw6nhJPcKdm0Y.71NCPMhZ6BBVFOTyNN7ZK7HuQwDu1R3/edZuSauu8I3H7ZCYrQhCs05W0/'

/** The root NIC with a fixed address, beside a second NIC that asks. */
export const STATIC_NETWORK: NetworkModel = {
  links: [
    {
      kind: 'nic',
      id: 'nic0',
      mac: '52:54:00:12:34:56',
      isRoot: true,
      mtu: 8888,
      ipv4: { kind: 'static', address: '198.18.0.10', prefixLength: 24, gateway: '198.18.0.1' },
      ipv6: { kind: 'none' },
      routes: [],
    },
    {
      kind: 'nic',
      id: 'nic1',
      mac: '52-54-00-AB-CD-EF',
      isRoot: false,
      ipv4: { kind: 'dhcp' },
      ipv6: { kind: 'none' },
      routes: [],
    },
  ],
  dns: ['198.18.0.53', '198.18.0.54'],
  search: [],
}

/** One NIC that asks: what most servers have. */
export const DHCP_NETWORK: NetworkModel = {
  links: [
    {
      kind: 'nic',
      id: 'nic0',
      mac: '52:54:00:12:34:56',
      isRoot: true,
      ipv4: { kind: 'dhcp' },
      ipv6: { kind: 'none' },
      routes: [],
    },
  ],
  dns: [],
  search: [],
}

/** A seed that uses every field. */
export const FULL_SEED: SeedInput = {
  serverId: '5f0c3c1e-3f6a-4b1c-9a55-0a7d2d3e4f01',
  instanceId: 'i-20261123-0001',
  hostname: 'web-1.lab.example',
  keys: [
    { name: 'admin', publicKey: RSA },
    { name: 'Zoë’s "laptop"', publicKey: ED25519 },
  ],
  userData: Buffer.from('#!/bin/sh\necho "héllo" > /root/hello\r\n'),
  network: STATIC_NETWORK,
  phoneHomeUrl: 'http://198.18.0.1:8080/phone-home/3b1f?x=1&y=a:b#c',
  availabilityZone: 'az-1',
  projectId: '3c7a1f0e2b4d4e6f8a9b0c1d2e3f4a5b',
  osType: 'linux',
  // openssl passwd -6 -salt ingotsalt 'correct horse'
  adminPasswordHash: HASH,
  networkQuirks: { bondAlways: false },
  localIpv4: '198.18.0.10',
  seedSecret: Buffer.alloc(32, 's'),
  metadata: { image_name: 'debian-12', os_type: 'Linux', 'metering.image_id': '0f5a' },
  networkAgent: Buffer.from('#!/usr/bin/python3\nprint("the agent ran")\n'),
}

/** A seed with nothing that may be left out. */
export const SMALL_SEED: SeedInput = {
  serverId: 's1',
  instanceId: 'i1',
  hostname: '007',
  keys: [],
  network: DHCP_NETWORK,
  phoneHomeUrl: 'http://198.18.0.1/ready',
}
