import t from 'tap'
import {
  createTarget,
  deleteTarget,
  freeTid,
  updateTarget,
  type Step,
  type TargetWish,
} from '../../../../src/rootdisk/target/tgt/plan.js'
import type { ShownTarget } from '../../../../src/rootdisk/target/tgt/shown.js'

const DISK = { lun: 1, path: '/s/raw', serial: 'volume-1', isReadOnly: false }
const SEED = { lun: 2, path: '/s/seed-1', serial: 'server-1', isReadOnly: true }
const WISH: TargetWish = {
  iqn: 'iqn.2026-11.io.ingot:server:1',
  initiatorIqn: 'iqn.2026-11.io.ingot:machine:1',
  chap: { user: 'm-1', secret: 'correct-horse' },
  luns: [DISK, SEED],
}
const SHOWN: ShownTarget = {
  tid: 7,
  iqn: WISH.iqn,
  nexuses: [],
  luns: [DISK, SEED],
  accounts: ['m-1'],
  acl: [WISH.initiatorIqn],
}

/** A step in a few words. */
const words = ({ request: { mode, op, lun, values, force } }: Step): string =>
  [mode, op, lun, force === true ? 'force' : undefined, ...Object.values(values ?? {})]
    .filter((word) => word !== undefined)
    .join(' ')

const SET_ACCOUNT = ['account delete m-1', 'account new m-1 correct-horse', 'account bind m-1']
const OPEN = `target bind ${WISH.initiatorIqn}`
const CLOSE = `target unbind ${WISH.initiatorIqn}`

void t.test('a target is open to its initiator only when its disks and its secret are there', (t) => {
  const steps = createTarget(WISH, 3)
  t.same(steps.map(words), [
    `target new ${WISH.iqn}`,
    'logicalunit new 1 /s/raw',
    'logicalunit update 1 INGOT volume volume-1 volume-1 1',
    'logicalunit new 2 /s/seed-1',
    'logicalunit update 2 INGOT seed server-1 server-1 1',
    ...SET_ACCOUNT,
    OPEN,
  ])
  t.ok(steps.every(({ request }) => request.tid === 3 || request.mode === 'account'))
  t.equal(steps.find(({ request }) => request.values?.['readonly'] === '1')?.request.lun, 2)
  t.equal(steps.find(({ accepts }) => accepts !== undefined)?.request.op, 'delete')
  t.end()
})

void t.test('a target that is as wished is left alone', (t) => {
  t.same(updateTarget(WISH, SHOWN), [])
  t.end()
})

const CASES: readonly [string, Partial<ShownTarget>, readonly string[]][] = [
  [
    'a seed of other content is put in the place of the one before',
    { luns: [DISK, { ...SEED, path: '/s/seed-0' }] },
    [
      'logicalunit delete 2',
      'logicalunit new 2 /s/seed-1',
      'logicalunit update 2 INGOT seed server-1 server-1 1',
    ],
  ],
  [
    'a disk that is taken away goes, whatever its LUN',
    { luns: [DISK, SEED, { ...DISK, lun: 3, path: '/t/raw' }] },
    ['logicalunit delete 3'],
  ],
  [
    'a seed disk that was left writable is closed to writes',
    { luns: [DISK, { ...SEED, isReadOnly: false }] },
    ['logicalunit update 2 INGOT seed server-1 server-1 1'],
  ],
  ['strangers are sent away', { acl: [WISH.initiatorIqn, 'ALL'] }, ['target unbind ALL']],
  [
    'a target without an account is closed until it has one, since tgtd asks for no secret then',
    { accounts: [] },
    [CLOSE, ...SET_ACCOUNT, OPEN],
  ],
  [
    'an account of somebody else goes the same way',
    { accounts: ['m-1', 'other'] },
    [CLOSE, 'account delete m-1', 'account delete other', ...SET_ACCOUNT, OPEN],
  ],
  [
    'a target of which only the name was made is made whole',
    { luns: [], accounts: [], acl: [] },
    createTarget(WISH, 7).slice(1).map(words),
  ],
]

for (const [name, shown, expected] of CASES) {
  void t.test(name, (t) => {
    t.same(updateTarget(WISH, { ...SHOWN, ...shown }).map(words), expected)
    t.end()
  })
}

void t.test('names and addresses are taken from the list each as what it is', (t) => {
  const steps = updateTarget(WISH, { ...SHOWN, acl: ['10.0.0.0/8', 'iqn.1999-01.a:b', WISH.initiatorIqn] })
  t.same(
    steps.map(({ request }) => request.values),
    [{ 'initiator-address': '10.0.0.0/8' }, { 'initiator-name': 'iqn.1999-01.a:b' }],
  )
  t.end()
})

void t.test('a target is deleted with its sessions and its account', (t) => {
  t.same(deleteTarget(SHOWN).map(words), ['target delete force', 'account delete m-1'])
  t.end()
})

void t.test('a new target has the lowest number that is free', (t) => {
  t.equal(freeTid([]), 1)
  t.equal(freeTid([SHOWN, { ...SHOWN, tid: 1 }, { ...SHOWN, tid: 2 }]), 3)
  t.end()
})
