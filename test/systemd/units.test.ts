import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../src/config.js'

const UNITS = join(import.meta.dirname, '../../systemd')
const names = readdirSync(UNITS).filter((name) => /\.(service|socket)$/.test(name))
const services = names.filter((name) => name.endsWith('.service'))

function missing(program: string): string | false {
  return !existsSync(program) && `${program} is not installed`
}

function read(name: string): string {
  return readFileSync(join(UNITS, name), 'utf8')
}

/** Every value of a key, in order. */
function valuesOf(name: string, key: string): string[] {
  return [...read(name).matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map((match) => match[1] ?? '')
}

/** Status and all output of a program that must end within 20 s. */
function run(program: string, args: readonly string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 20_000 })
  return { status, output: stdout + stderr }
}

/** The units with programs that exist here. */
function runnableUnits(dir: string): string[] {
  return names.map((name) => {
    const path = join(dir, name)
    writeFileSync(path, read(name).replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`))
    return path
  })
}

const analyze = '/usr/bin/systemd-analyze'

void t.test('systemd finds nothing wrong with any unit', { skip: missing(analyze) }, (t) => {
  const { status, output } = run(analyze, ['verify', '--man=no', ...runnableUnits(t.testdir())])
  t.equal(output, '')
  t.equal(status, 0)
  t.end()
})

void t.test('systemd takes an interface’s sockets with their drop-in', { skip: missing(analyze) }, (t) => {
  const dir = t.testdir()
  runnableUnits(dir)
  const instances = ['ingot-dhcp@eth1.socket', 'ingot-pxe@eth1.socket'].map((name) => join(dir, name))
  for (const instance of instances) {
    cpSync(instance.replace('@eth1', '@'), instance)
    mkdirSync(`${instance}.d`)
    writeFileSync(`${instance}.d/device.conf`, '[Socket]\nBindToDevice=eth1\n')
  }
  t.same(run(analyze, ['verify', '--man=no', ...instances]), { status: 0, output: '' })
  t.end()
})

void t.test('systemd rates the exposure of each service as 2.5 or less', { skip: missing(analyze) }, (t) => {
  const paths = runnableUnits(t.testdir()).filter((path) => path.endsWith('.service'))
  const args = ['security', '--offline=true', '--threshold=25', '--no-pager', ...paths]
  const { status, output } = run(analyze, args)
  t.equal(status, 0, output.split('\n').slice(-3).join(' '))
  t.end()
})

const sysusers = '/usr/bin/systemd-sysusers'
const tmpfiles = '/usr/bin/systemd-tmpfiles'
const unable = process.getuid?.() !== 0 && 'only root may make users and directories'

void t.test(
  'the user and its directories are made in an empty root',
  { skip: unable || missing(sysusers) || missing(tmpfiles) },
  (t) => {
    const root = t.testdir()
    for (const kind of ['sysusers', 'tmpfiles']) {
      mkdirSync(join(root, `usr/lib/${kind}.d`), { recursive: true })
      cpSync(join(UNITS, `ingot.${kind}.conf`), join(root, `usr/lib/${kind}.d/ingot.conf`))
    }
    mkdirSync(join(root, 'etc'))
    t.equal(run(sysusers, [`--root=${root}`]).status, 0)
    const uid = Number(/^ingot:[^:]*:(\d+):/m.exec(readFileSync(join(root, 'etc/passwd'), 'utf8'))?.[1])
    const { status, output } = run(tmpfiles, [`--root=${root}`, '--create'])
    t.equal(status, 0, output)
    t.match(statSync(join(root, 'var/lib/ingot')), { uid })
    t.equal(statSync(join(root, 'var/lib/ingot')).mode & 0o777, 0o700)
    t.match(statSync(join(root, 'run/ingot')), { uid })
    t.equal(statSync(join(root, 'etc/ingot')).mode & 0o777, 0o750)
    t.end()
  },
)

void t.test('each socket has a name of its own and goes to the daemon that serves it', (t) => {
  const sockets = names.filter((name) => name.endsWith('.socket'))
  const served = sockets.map((name) => [
    valuesOf(name, 'FileDescriptorName')[0],
    valuesOf(name, 'Service')[0],
  ])
  t.same(Object.fromEntries(served), {
    'dhcp-%I': 'ingotd.service',
    'pxe-%I': 'ingotd.service',
    tftp: 'ingotd.service',
    'boot-http': 'ingotd.service',
    iscsi: 'ingot-targetd.service',
  })
  t.end()
})

void t.test('the sockets listen on the ports that the configuration has by default', (t) => {
  const { boot, target, metadata } = loadConfig(join(UNITS, 'ingot.toml.example'))
  t.same(valuesOf('ingot-dhcp@.socket', 'ListenDatagram'), [`0.0.0.0:${String(boot?.dhcpPort)}`])
  t.same(valuesOf('ingot-pxe@.socket', 'ListenDatagram'), [`0.0.0.0:${String(boot?.pxePort)}`])
  t.match(valuesOf('ingot-metadata-address.service', 'ExecStart')[0], ` ${String(metadata?.address)}/32 `)
  t.same(valuesOf('ingot-tftp.socket', 'ListenDatagram'), [`0.0.0.0:${String(boot?.tftpPort)}`])
  t.same(valuesOf('ingot-boot-http.socket', 'ListenStream'), [`0.0.0.0:${String(boot?.httpPort)}`])
  t.same(valuesOf('ingot-iscsi.socket', 'ListenStream'), [`0.0.0.0:${String(target.port)}`])
  t.end()
})

void t.test('the live maps survive a stopped service, and V8 may compile', (t) => {
  for (const name of services.filter((one) => valuesOf(one, 'Type')[0] === 'notify')) {
    t.same(valuesOf(name, 'RuntimeDirectoryPreserve'), ['yes'], name)
    t.same(valuesOf(name, 'MemoryDenyWriteExecute'), [], name)
    t.same(valuesOf(name, 'NotifyAccess'), ['all'], name)
  }
  t.end()
})

void t.test('the data plane depends on no unit of the control plane and restarts for ever', (t) => {
  const unit = 'ingot-targetd.service'
  const related = ['Wants', 'Requires', 'BindsTo', 'PartOf', 'After', 'Before'].flatMap((key) =>
    valuesOf(unit, key),
  )
  t.notOk(related.some((value) => value.includes('ingotd')))
  t.same([valuesOf(unit, 'Restart'), valuesOf(unit, 'StartLimitIntervalSec')], [['always'], ['0']])
  t.end()
})

void t.test('no unit of the control plane can take the data plane down with it', (t) => {
  t.notMatch(read('ingotd.service'), /^(Requires|BindsTo|PartOf|Before|After)=.*ingot-targetd/m)
  t.end()
})
