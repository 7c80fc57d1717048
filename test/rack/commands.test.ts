import { readdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Daemons, type Ended } from './daemons.js'

const MIB = 1 << 20

function isRefused(t: Test, ended: Ended, sentence: RegExp, name = 'refused'): void {
  t.equal(ended.code, 1, `${name}: exit code 1`)
  t.match(ended.stderr, sentence, `${name}: ${String(sentence)}`)
  t.notMatch(ended.stderr, /^ +at /m, `${name}: no stack`)
}

void t.test('what the running daemons refuse', async (t) => {
  const daemons = await Daemons.make(t)
  await daemons.start()
  const disk = join(daemons.dir, 'disk.raw')
  writeFileSync(disk, 'a disk')
  truncateSync(disk, MIB)
  t.match(await daemons.import('golden', disk), { status: 'SUCCESS' })
  await daemons.server(1, 'golden')
  const everything = async (): Promise<unknown> => [
    ...(await Promise.all(['/machines', '/images', '/servers'].map((path) => daemons.api('GET', path)))),
    readdirSync(daemons.layersDir).sort(),
  ]
  const before = await everything()

  await t.test('a second daemon on the same state directory', async (t) => {
    const targetPid = await daemons.targetPid()
    isRefused(t, await daemons.run(), /another ingotd is using .*ingotd\.lock/)
    t.equal(await daemons.targetPid(), targetPid, 'the target process is the same')
    t.same(await everything(), before, 'the first one goes on')
  })

  await t.test(
    'names, addresses and MACs that are taken; things in use; what breaks the schema',
    async (t) => {
      const machine = (name: string, mac: string, ip: string): object => ({ name, nics: [{ mac, ip }] })
      const cases: [string, string, object | undefined, number, string, RegExp][] = [
        [
          'POST',
          '/machines',
          machine('m2', '52:54:00:fa:00:01', '127.0.0.9'),
          409,
          'MAC_TAKEN',
          /52:54:00:fa:00:01/,
        ],
        ['POST', '/machines', machine('m1', '52:54:00:fa:00:02', '127.0.0.9'), 409, 'NAME_TAKEN', /m1/],
        [
          'POST',
          '/machines',
          machine('m2', '52:54:00:fa:00:02', '127.0.0.101'),
          409,
          'ADDRESS_TAKEN',
          /127\.0\.0\.101/,
        ],
        [
          'POST',
          '/machines',
          machine('M 2', '52:54:00:fa:00:02', '127.0.0.9'),
          400,
          'INVALID_INPUT',
          /name: expected/,
        ],
        ['POST', '/machines', machine('m2', '52:54', '127.0.0.9'), 400, 'INVALID_INPUT', /mac: expected/],
        ['POST', '/images', { name: 'golden', path: disk }, 409, 'NAME_TAKEN', /golden/],
        ['POST', '/images', { name: 'x', path: 'disk.raw' }, 400, 'INVALID_INPUT', /absolute path/],
        ['POST', '/images', { name: 'x' }, 400, 'INVALID_INPUT', /exactly one/],
        ['POST', '/servers', { name: 's1', image: 'golden' }, 409, 'NAME_TAKEN', /s1/],
        [
          'POST',
          '/servers',
          { name: 's2', image: 'golden', machine: 'm1' },
          409,
          'IN_USE',
          /m1 runs server s1/,
        ],
        ['POST', '/servers', { name: 's2', image: 'golden' }, 409, 'NO_CAPACITY', /no machine is free/],
        [
          'POST',
          '/servers',
          { name: 's2', image: 'golden', colour: 'red' },
          400,
          'INVALID_INPUT',
          /additional/,
        ],
        ['DELETE', '/images/golden', undefined, 409, 'IN_USE', /golden is in use by 1 volume/],
        ['DELETE', '/machines/m1', undefined, 409, 'IN_USE', /m1 runs server s1/],
      ]
      for (const [method, path, body, status, code, message] of cases) {
        const answer = await daemons.api(method, path, body)
        t.match(answer, { status, body: { error: { code, message } } }, `${method} ${path} ${code}`)
      }
      t.same(await everything(), before, 'nothing was changed')
    },
  )

  await t.test('unknown things in every command: exit code 1 and a sentence', async (t) => {
    const cases: string[][] = [
      ...['show', 'delete', 'timeline', 'console', 'events', 'start', 'stop', 'reboot'].map((verb) => [
        'server',
        verb,
      ]),
      ...['show', 'verify', 'delete'].map((verb) => ['image', verb]),
      ...['show', 'delete', 'flatten', 'check', 'verify', 'map'].map((verb) => ['volume', verb]),
      ...['show', 'delete'].map((verb) => ['snapshot', verb]),
      ['machine', 'delete'],
    ].map(([thing = '', verb = '']) => [thing, verb, 'nosuch'])
    cases.push(['server', 'create', 's9', '--image', 'nosuch'])
    cases.push(['server', 'redeploy', 'nosuch'], ['server', 'set', 'nosuch', '--name', 'x'])
    cases.push(['server', 'redeploy', 's1', '--image', 'nosuch'], ['server', 'password', 'nosuch'])
    cases.push(['server', 'create', 's9', '--image', 'golden', '--machine', 'nosuch'])
    cases.push(['volume', 'grow', 'nosuch', '--size', '1G'], ['volume', 'export', 'nosuch', '--stop'])
    cases.push(['volume', 'create', 'v9', '--snapshot', 'nosuch'], ['volume', 'rollback', 'nosuch', 's'])
    cases.push(['server', 'attach', 's1', 'nosuch'], ['server', 'detach', 's1', 'nosuch'])
    cases.push(['snapshot', 'create', 'nosuch', 'x'])
    await inPairs(cases, async (args) => {
      const ended = await daemons.ingot(...args)
      isRefused(
        t,
        ended,
        /^ingot: (\w+: )?no (server|image|machine|volume|snapshot) "nosuch"$/m,
        args.join(' '),
      )
      t.equal(ended.stdout, '', 'nothing on standard output')
    })
    t.same(await everything(), before, 'nothing was changed')
  })

  await t.test('a wrong command line: exit code 2', async (t) => {
    const cases: string[][] = [
      ['nonsense'],
      ['server', 'create', 's9'],
      ['machine', 'add', 'm9'],
      ['machine', 'add', 'm9', '--nic', '52:54:00:fa:00:09,colour=red'],
      ['machine', 'set', 'm1'],
      ['machine', 'set', 'm1', '--role', 'storage'],
      ['server', 'set', 's1'],
      ['server', 'set', 's1', '--network', '-', '--user-data', '-'],
      ['keypair', 'create', 'k', '--type', 'dsa'],
      ['image', 'set', 'golden', '--property', 'novalue'],
      ['-o', 'xml', 'server', 'list'],
      ['server', 'list', '--colour'],
      ['server', 'start', 's1', '--wait', '--timeout', 'soon'],
      ['volume', 'create', 'v9', '--size', '10X'],
      ['volume', 'grow', 'v9'],
      ['volume', 'export', 'v9'],
    ]
    await inPairs(cases, async (args) => {
      const ended = await daemons.ingot(...args)
      t.equal(ended.code, 2, args.join(' '))
      t.match(ended.stderr, /^error: /m, args.join(' '))
    })
    t.same(await everything(), before, 'nothing was changed')
  })

  await t.test('a file or a daemon that is not there: exit code 1 and a sentence, no stack', async (t) => {
    const userData = ['server', 'create', 's9', '--image', 'golden', '--user-data', '/nowhere']
    isRefused(t, await daemons.ingot(...userData), /^ingot: .*\/nowhere/m, 'user data')
    isRefused(
      t,
      await daemons.ingot('--socket', '/nowhere.sock', 'server', 'list'),
      /does not answer on \/nowhere\.sock/,
    )
  })
})

async function inPairs<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items]
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item)
  }
  await Promise.all([worker(), worker()])
}
