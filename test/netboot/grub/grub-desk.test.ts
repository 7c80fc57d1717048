import pino from 'pino'
import t from 'tap'
import type { DaemonEvent } from '../../../src/events.js'
import { HttpListener } from '../../../src/http/listener.js'
import { inMemory, type BootFile } from '../../../src/netboot/boot-files.js'
import { loadGrubTemplates } from '../../../src/netboot/grub/grub-config.js'
import { GrubDesk } from '../../../src/netboot/grub/grub-desk.js'
import { grubRoutes } from '../../../src/netboot/grub/grub-routes.js'
import { bootTarget } from '../../fakes/boot-target.js'

const MAC = '52:54:00:b0:07:01'
const IP = '198.18.0.11'
const CONFIG = `grub/grub.cfg-01-${MAC}`
const target = bootTarget({ chapSecret: 'secret-1' })

async function deskOf(
  kernelArguments: string | undefined,
): Promise<{ desk: GrubDesk; events: DaemonEvent[] }> {
  const events: DaemonEvent[] = []
  let current = target
  const desk = new GrubDesk({
    findTarget: (mac, ip) => (mac === MAC && ip === IP ? current : undefined),
    scriptAsked: () => (current = bootTarget({ chapSecret: 'secret-of-this-boot' })),
    findByToken: (token) => (token === target.bootToken ? target : undefined),
    kernelArguments: () => kernelArguments,
    openKernel: (serverId, file) =>
      Promise.resolve(
        kernelArguments === undefined ? undefined : inMemory(Buffer.from(`${file} of ${serverId}`)),
      ),
    templates: await loadGrubTemplates('boot'),
    policy: { address: '198.18.0.1', httpPort: 8080 },
    emit: (event) => events.push(event),
  })
  return { desk, events }
}

async function textOf(file: BootFile | undefined): Promise<string | undefined> {
  return file && Buffer.from(await file.read(0, file.sizeBytes)).toString()
}

void t.test('GRUB is told to ask by its MAC, and then to boot its server, a step of the boot', async (t) => {
  const { desk, events } = await deskOf('root=LABEL=ROOT ro')
  t.match(await textOf(await desk.virtualFile('grub/grub.cfg', IP)), 'grub.cfg-01-$net_default_mac')
  t.same(events, [])
  const config = await textOf(await desk.virtualFile(CONFIG, IP))
  t.match(config, 'iscsi_password=secret-of-this-boot')
  t.match(config, 'BOOTIF=01-52-54-00-b0-07-01')
  t.match(events, [{ kind: 'boot.script', stage: 'script', serverId: 's-1', mac: MAC }])
})

void t.test(
  'a machine that no server has, or whose configuration another one asks for, gets no secret',
  async (t) => {
    const { desk, events } = await deskOf('ro')
    for (const [name, ip] of [
      ['grub/grub.cfg-01-52:54:00:b0:07:02', IP],
      [CONFIG, '198.18.0.12'],
    ] as const) {
      const config = await textOf(await desk.virtualFile(name, ip))
      t.match(config, 'code UNKNOWN')
      t.notMatch(config, 'secret')
    }
    t.same(events, [])
  },
)

void t.test(
  'an image without a kernel is an event that names the remedy, and no step of a boot',
  async (t) => {
    const { desk, events } = await deskOf(undefined)
    t.match(await textOf(await desk.virtualFile(CONFIG, IP)), 'code NO-KERNEL')
    t.match(events, [{ kind: 'boot.no-kernel', message: /ingot image build/, stage: undefined }])
  },
)

void t.test('kernel and initrd are named by the boot token, by TFTP and by HTTP', async (t) => {
  const { desk, events } = await deskOf('ro')
  t.equal(await textOf(await desk.virtualFile('boot/tok_EN-1/kernel', IP)), 'kernel of s-1')
  t.equal(await textOf(await desk.virtualFile('boot/tok_EN-1/initrd', IP)), 'initrd of s-1')
  for (const name of ['boot/other/kernel', 'boot/tok_EN-1/data', 'boot/tok_EN-1/../kernel', 'kernel'])
    t.equal(await desk.virtualFile(name, IP), undefined, name)
  const listener = new HttpListener({
    options: { name: 'boot', endpoint: { host: '127.0.0.1', port: 0 } },
    routes: [grubRoutes(desk)],
    log: pino({ level: 'silent' }),
  })
  await listener.start((err) => t.fail(err.message))
  t.teardown(() => listener.stop())
  const base = `http://127.0.0.1:${String(listener.port)}/boot`
  t.equal(await (await fetch(`${base}/tok_EN-1/initrd`)).text(), 'initrd of s-1')
  const head = await fetch(`${base}/tok_EN-1/kernel`, { method: 'HEAD' })
  t.same([head.status, head.headers.get('content-length')], [200, '13'])
  t.equal((await fetch(`${base}/other/kernel`)).status, 404)
  t.match(events[0], { kind: 'boot.kernel', message: 'kernel of server web1 asked by TFTP, 13 bytes' })
})

void t.test('a GRUB that cannot load its kernel says so', async (t) => {
  const { desk, events } = await deskOf('ro')
  t.equal(await textOf(await desk.virtualFile('boot/tok_EN-1/failed', IP)), 'noted\n')
  t.match(events, [{ kind: 'boot.script-failed', serverId: 's-1' }])
  t.equal(await desk.virtualFile('boot/other/failed', IP), undefined)
})
