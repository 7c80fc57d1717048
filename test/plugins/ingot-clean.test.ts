import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'

const PROGRAM = 'plugins/cloud-init/files/usr/sbin/ingot-clean'

/** A system that was a server, beside files that are none of its own. */
function lived(t: Test): { root: string; outside: string } {
  const dir = t.testdir({
    outside: { 'syslog.1': 'theirs', 'access.log': 'theirs' },
    root: {
      etc: {
        'machine-id': '0123456789abcdef0123456789abcdef\n',
        hostname: 'web1\n',
        ssh: { ssh_host_ed25519_key: 'key', 'ssh_host_ed25519_key.pub': 'key', sshd_config: 'UsePAM yes\n' },
        iscsi: { 'initiatorname.iscsi': 'InitiatorName=iqn.2026-11.io.ingot:web1\n', 'iscsid.conf': 'x' },
        netplan: { '50-cloud-init.yaml': 'network: {}\n', '01-mine.yaml': 'network: {}\n' },
        nvme: { hostid: 'x' },
      },
      root: { '.bash_history': 'rm\n', '.profile': 'x' },
      home: { ann: { '.bash_history': 'ls\n', '.ssh': { authorized_keys: 'ssh-ed25519 A' } } },
      tmp: { left: 'x', '.hidden': 'x' },
      var: {
        lib: {
          cloud: { instance: 'i', seed: {}, data: { 'instance-id': 'i' } },
          dbus: { 'machine-id': '0123' },
          dhcp: { 'dhclient.leases': 'x' },
          systemd: { 'random-seed': 'x' },
          dpkg: { status: 'x' },
        },
        log: {
          'cloud-init.log': 'x',
          syslog: 'x',
          'syslog.1': 'x',
          journal: { abc: { 'system.journal': 'x' } },
        },
      },
    },
  })
  return { root: join(dir, 'root'), outside: join(dir, 'outside') }
}

function clean(...argv: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync('sh', [PROGRAM, ...argv], { encoding: 'utf8' })
}

void t.test('what makes a system one server is gone, and the rest is there', (t) => {
  const { root } = lived(t)
  t.equal(clean('--root', root).status, 0)
  const left = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) =>
    statSync(join(root, path)).isFile(),
  )
  t.strictSame(left.sort(), [
    'etc/hostname',
    'etc/iscsi/initiatorname.iscsi',
    'etc/iscsi/iscsid.conf',
    'etc/machine-id',
    'etc/netplan/01-mine.yaml',
    'etc/ssh/sshd_config',
    'home/ann/.ssh/authorized_keys',
    'root/.profile',
    'var/lib/dpkg/status',
    'var/log/syslog',
  ])
  t.equal(readFileSync(join(root, 'etc/machine-id'), 'utf8'), '', 'systemd makes a new one, and keeps it')
  t.equal(readFileSync(join(root, 'etc/iscsi/initiatorname.iscsi'), 'utf8'), 'GenerateName=yes\n')
  t.equal(statSync(join(root, 'etc/iscsi/initiatorname.iscsi')).mode & 0o777, 0o600)
  t.equal(readFileSync(join(root, 'var/log/syslog'), 'utf8'), '', 'a log keeps its owner and mode')
  t.equal(clean('--root', root).status, 0, 'a second run finds nothing to do')
  t.end()
})

void t.test('--dry-run says what would go, and changes nothing; --keep-logs keeps them', (t) => {
  const { root } = lived(t)
  const before = readdirSync(root, { recursive: true }).sort()
  const { stdout } = clean('--root', root, '--dry-run')
  t.match(stdout, 'removed /etc/ssh/ssh_host_ed25519_key\n')
  t.match(stdout, 'emptied /etc/machine-id\n')
  t.strictSame(readdirSync(root, { recursive: true }).sort(), before)
  t.match(readFileSync(join(root, 'etc/machine-id'), 'utf8'), /^0123/)
  clean('--root', root, '--keep-logs')
  t.equal(readFileSync(join(root, 'var/log/cloud-init.log'), 'utf8'), 'x')
  t.notOk(existsSync(join(root, 'var/lib/cloud/data')))
  t.end()
})

void t.test('links of another system never lead to files outside it', (t) => {
  const { root, outside } = lived(t)
  for (const [path, target] of [
    ['var/log', outside],
    ['etc/ssh', '../../outside'],
    ['home/ann', outside],
  ] as const) {
    spawnSync('rm', ['-rf', join(root, path)])
    spawnSync('ln', ['-s', target, join(root, path)])
  }
  const { status, stderr } = clean('--root', root)
  t.equal(status, 0)
  t.match(stderr, 'left /var/log/syslog.1: a link leads out of')
  t.equal(readFileSync(join(outside, 'access.log'), 'utf8'), 'theirs')
  t.equal(readFileSync(join(outside, 'syslog.1'), 'utf8'), 'theirs')
  spawnSync('rm', ['-rf', join(root, 'etc')])
  spawnSync('ln', ['-s', outside, join(root, 'etc')])
  t.equal(clean('--root', root).status, 2, 'a whole /etc that lies elsewhere is refused')
  t.notOk(existsSync(join(outside, 'machine-id')))
  t.end()
})

void t.test('what is no root of a system is refused', (t) => {
  t.equal(clean('--root', t.testdir({})).status, 2)
  t.equal(clean('--what').status, 2)
  t.end()
})
