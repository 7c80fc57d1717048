import t from 'tap'
import { isAmong, isUnstable } from '../../../../src/rootdisk/image/inspect/disk-names.js'
import { harmless, isHostileName } from '../../../../src/rootdisk/image/inspect/file-tree.js'
import { parseFstab } from '../../../../src/rootdisk/image/inspect/fstab.js'
import { datasourceList } from '../../../../src/rootdisk/image/inspect/system-facts.js'

const DISKS = [
  { where: 'partition 3', label: 'ROOT', uuid: '5E9f', partition: undefined },
  { where: 'volume vg-a--b', label: undefined, uuid: undefined, partition: undefined },
]

void t.test('a source names a disk by label, UUID or volume, or nothing is said of it', (t) => {
  t.equal(isAmong('LABEL=ROOT', DISKS), true)
  t.equal(isAmong('"LABEL=OTHER"', DISKS), false)
  t.equal(isAmong('UUID=5e9F', DISKS), true)
  t.equal(isAmong('/dev/disk/by-uuid/5e9f', DISKS), true)
  t.equal(isAmong('/dev/mapper/vg-a--b', DISKS), true)
  t.equal(isAmong('/dev/vg/a-b', DISKS), true)
  t.equal(isAmong('/dev/mapper/vg-c', DISKS), false)
  t.equal(isAmong('tmpfs', DISKS), undefined)
  t.ok(isUnstable('/dev/sda1') && isUnstable('/dev/nvme0n1p1') && !isUnstable('/dev/mapper/vg-x'))
  t.end()
})

void t.test('fstab has comments, and entries that no boot waits for', (t) => {
  const entries = parseFstab(
    '# LABEL=A / ext4\nLABEL=A / ext4 defaults 0 1 # root\nUUID=b /b ext4 nofail\n\nonly\n',
  )
  t.same(
    entries.map(({ source, path, isNeeded }) => [source, path, isNeeded]),
    [
      ['LABEL=A', '/', true],
      ['UUID=b', '/b', false],
    ],
  )
  t.end()
})

void t.test("cloud-init's list of datasources is read in both of YAML's ways", (t) => {
  t.same(datasourceList("datasource_list: [ NoCloud, 'ConfigDrive' ]"), ['NoCloud', 'ConfigDrive'])
  t.same(datasourceList('datasource_list: # ours\n  - OpenStack\n  - None\nother: 1\n'), [
    'OpenStack',
    'None',
  ])
  t.equal(datasourceList('# datasource_list: [ X ]\n'), undefined)
  t.end()
})

void t.test('what comes out of an image does nothing to a terminal', (t) => {
  t.equal(harmless('a\x1b[2J\nb\xff'), 'a\\x1b[2J\\x0ab\\xff')
  t.equal(harmless('x'.repeat(500)).length, 203)
  t.ok(isHostileName('a/b') && isHostileName('a\nb') && !isHostileName('caf\xe9'))
  t.end()
})
