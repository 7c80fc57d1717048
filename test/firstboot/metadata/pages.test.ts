import fc from 'fast-check'
import t from 'tap'
import { metadataPages, pagePath, type Pages } from '../../../src/firstboot/metadata/pages.js'
import { renderSeed } from '../../../src/firstboot/seed/seed.js'
import { FULL_SEED, SMALL_SEED } from '../seed/sample-seed.js'

const FULL = metadataPages(FULL_SEED, 'c2VhbGVk')
const SMALL = metadataPages(SMALL_SEED, undefined)

function text(pages: Pages, path: string): string | undefined {
  const page = pages.get(path)
  return page === undefined ? undefined : Buffer.from(page.bytes).toString()
}

void t.test('listings are as Nova and EC2 give them', (t) => {
  const listings = ['', 'openstack', 'openstack/latest', 'openstack/2012-08-10', 'latest', 'latest/meta-data']
  const keys = ['latest/meta-data/public-keys', 'latest/meta-data/public-keys/0']
  const placement = ['latest/meta-data/placement', 'nocloud']
  const all = [...listings, ...keys, ...placement]
  t.strictSame(Object.fromEntries(all.map((path) => [path, text(FULL, path)?.split('\n')])), {
    '': ['2009-04-04', '2016-09-02', '2018-09-24', '2021-03-23', 'latest'],
    openstack: [
      ...['2012-08-10', '2013-04-04', '2013-10-17', '2015-10-15'],
      ...['2016-06-30', '2016-10-06', '2017-02-22', '2018-08-27', 'latest'],
    ],
    'openstack/latest': [
      ...['meta_data.json', 'user_data', 'password', 'vendor_data.json'],
      ...['network_data.json', 'vendor_data2.json'],
    ],
    'openstack/2012-08-10': ['meta_data.json', 'user_data'],
    latest: ['meta-data/', 'user-data'],
    'latest/meta-data': [
      ...['ami-id', 'ami-launch-index', 'block-device-mapping/', 'hostname', 'instance-action'],
      ...['instance-id', 'instance-type', 'local-hostname', 'local-ipv4', 'placement/', 'public-keys/'],
      ...['reservation-id', 'security-groups'],
    ],
    'latest/meta-data/public-keys': ['0=admin', '1=Zoë’s "laptop"'],
    'latest/meta-data/public-keys/0': ['openssh-key'],
    'latest/meta-data/placement': ['availability-zone'],
    nocloud: ['meta-data', 'user-data', 'vendor-data', 'network-config'],
  })
  t.end()
})

void t.test('documents are the very bytes of the seed disk', (t) => {
  const { configDrive, noCloud } = renderSeed(FULL_SEED)
  for (const { path, bytes } of configDrive.filter(({ path }) => path.startsWith('openstack/'))) {
    t.same(FULL.get(path)?.bytes, bytes, path)
  }
  for (const { path, bytes } of noCloud) t.same(FULL.get(`nocloud/${path}`)?.bytes, bytes, path)
  t.same(FULL.get('2009-04-04/user-data')?.bytes, FULL_SEED.userData)
  t.notOk(
    [...FULL.keys()].some((path) => path.includes('bms-network-config')),
    'the agent is on the disk only',
  )
  t.end()
})

void t.test('leaves of EC2 are texts', (t) => {
  const leaves = ['hostname', 'instance-id', 'local-ipv4', 'placement/availability-zone', 'ami-launch-index']
  t.same(
    leaves.map((leaf) => text(FULL, `2021-03-23/meta-data/${leaf}`)),
    ['web-1.lab.example', 'i-20261123-0001', '198.18.0.10', 'az-1', '0'],
  )
  t.equal(text(FULL, 'latest/meta-data/public-keys/1/openssh-key'), FULL_SEED.keys[1]?.publicKey)
  t.end()
})

void t.test('what a server does not have is no page and in no listing', (t) => {
  const absent = ['openstack/latest/user_data', 'latest/user-data', 'latest/meta-data/public-keys']
  for (const path of [...absent, 'latest/meta-data/local-ipv4']) t.equal(SMALL.get(path), undefined, path)
  t.notMatch(text(SMALL, 'openstack/latest'), 'user_data')
  t.equal(text(SMALL, 'latest'), 'meta-data/')
  t.match(text(SMALL, 'nocloud/user-data'), '#cloud-config', 'without which NoCloud is none')
  t.end()
})

void t.test('the password is empty until there is one, and is of the versions that have it', (t) => {
  t.equal(text(FULL, 'openstack/latest/password'), 'c2VhbGVk')
  t.equal(text(SMALL, 'openstack/2013-04-04/password'), '')
  t.equal(SMALL.get('openstack/2012-08-10/password'), undefined)
  t.end()
})

void t.test('every page is in the listing of its folder', (t) => {
  for (const path of FULL.keys()) {
    const parent = path.split('/').slice(0, -1).join('/')
    const name = path.slice(parent === '' ? 0 : parent.length + 1)
    if (path === '' || path === 'openstack' || path === 'nocloud') continue
    const listed = text(FULL, parent)?.split('\n') ?? []
    t.ok(
      listed.some((one) => one === name || one === `${name}/` || one.startsWith(`${name}=`)),
      path,
    )
  }
  t.end()
})

void t.test('the query and one slash at the end of a target say nothing', (t) => {
  const same = ['/latest/meta-data', '/latest/meta-data/', '/latest/meta-data/?a=/b', '/latest/meta%2ddata']
  for (const target of same) t.equal(pagePath(target), 'latest/meta-data', target)
  t.equal(pagePath('/'), '')
  t.equal(pagePath('//'), '')
  t.equal(pagePath('/%zz'), undefined)
  t.equal(pagePath('http://169.254.169.254/latest'), undefined)
  t.equal(FULL.get(pagePath('/latest//meta-data') ?? ''), undefined)
  t.equal(FULL.get(pagePath('/openstack/../latest') ?? ''), undefined)
  t.end()
})

void t.test('any target is a path or none', (t) => {
  fc.assert(fc.property(fc.string(), (target) => ['string', 'undefined'].includes(typeof pagePath(target))))
  t.end()
})
