import t from 'tap'
import { DaemonError } from '../../../src/errors.js'
import { parseSubnetOptions } from '../../../src/netboot/dhcp/dhcp-options.js'
import type { DhcpSubnetOptions } from '../../../src/netboot/dhcp/dhcp-options.js'
import { ip4 } from '../../fakes/dhcp-request.js'

const OPTIONS: DhcpSubnetOptions = {
  ...{ cidr: '198.18.0.0/24', mode: 'authoritative', address: '198.18.0.1', leaseSeconds: 3600 },
}

void t.test('options become numbers, and the first search domain the domain name', (t) => {
  const { policy, excluded } = parseSubnetOptions(
    {
      ...OPTIONS,
      router: '198.18.0.254',
      domainSearch: ['a.example', 'b.example'],
      ntp: ['198.18.0.7'],
      routes: [{ to: '10.0.0.0/8', via: '198.18.0.9' }],
    },
    () => undefined,
  )
  t.match(policy, {
    domainName: 'a.example',
    ntpServers: [ip4('198.18.0.7')],
    routes: [{ destination: ip4('10.0.0.0'), prefixLength: 8, router: ip4('198.18.0.9') }],
  })
  t.same(excluded, ['198.18.0.1', '198.18.0.0', '198.18.0.255', '198.18.0.254'].map(ip4))
  t.end()
})

void t.test('options that break a rule are refused by name', (t) => {
  const cases: [Partial<DhcpSubnetOptions>, RegExp][] = [
    [{ address: 'x' }, /dhcp\.address/],
    [{ cidr: '10.0.0.1/8' }, /dhcp\.cidr/],
    [{ router: '1.2.3' }, /dhcp\.router/],
    [{ dns: ['nine'] }, /dhcp\.dns/],
    [{ routes: [{ to: '10.0.0.0', via: '198.18.0.9' }] }, /dhcp\.routes/],
    [{ leaseSeconds: 5 }, /dhcp\.leaseSeconds/],
    [{ pool: { first: '10.0.0.1', last: '10.0.0.9' } }, /dhcp\.pool: expected addresses inside/],
    [{ pool: { first: '198.18.0.9', last: '198.18.0.1' } }, /dhcp\.pool: expected 1 to/],
  ]
  for (const [options, message] of cases) {
    t.throws(() => parseSubnetOptions({ ...OPTIONS, ...options }, () => undefined), {
      name: DaemonError.prototype.name,
      message,
    })
  }
  t.end()
})
