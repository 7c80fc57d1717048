import t from 'tap'
import { planRig, RIG_FIRMWARES, type RigFirmware, type RigMachinePlan } from '../../src/rig/plan.js'
import { qemuArguments } from '../../src/rig/qemu-argv.js'

function machine(firmware: RigFirmware): RigMachinePlan {
  const options = { name: 'm1', nics: [{ mac: '52:54:00:18:00:01' }], firmware, memoryMib: 512, cpus: 1 }
  const [planned] = planRig({ name: 'demo', dir: '/run/r', machines: [options] }).machines
  if (planned === undefined) throw new Error('the plan has no machine')
  return { ...planned, uuid: '00000000-0000-8000-8000-000000000001' }
}

const COMMON = `-name ingot-rig-m1 -no-user-config -nodefaults -display none -machine q35,graphics=off
  -accel tcg,thread=multi -smp 1 -m 512 -uuid 00000000-0000-8000-8000-000000000001
  -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
  -chardev file,id=console,path=/run/r/m1/console.log,append=on -serial chardev:console
  -chardev socket,id=qmp,path=/run/r/m1/qmp.sock,server=on,wait=off -mon chardev=qmp,mode=control
  -pidfile /run/r/m1/qemu.pid -object rng-random,id=rng0,filename=/dev/urandom -device virtio-rng-pci,rng=rng0
  -netdev tap,id=net0,ifname=tap0,script=no,downscript=no`
const FLASH = `-drive if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd
  -drive if=pflash,unit=1,format=raw,file=/run/r/m1/vars.fd`
const NIC = '-device virtio-net-pci,netdev=net0,mac=52:54:00:18:00:01,bootindex=1'
const GOLDEN: Record<RigFirmware, string> = {
  bios: `${COMMON} ${NIC}`,
  uefi: `${COMMON} ${NIC} ${FLASH}`,
  'uefi-native': `${COMMON} ${NIC},romfile= ${FLASH} -fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n`,
  'uefi-http': `${COMMON} ${NIC},romfile= ${FLASH} -fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n
    -fw_cfg name=opt/org.tianocore/IPv4PXESupport,string=n`,
  'uefi-secure': `${COMMON.replace('graphics=off', 'graphics=off,smm=on').replace(
    '-smp',
    '-global driver=cfi.pflash01,property=secure,value=on -smp',
  )} ${NIC},romfile= ${FLASH.replace('CODE_4M', 'CODE_4M.ms')}
  -fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n`,
}

for (const firmware of RIG_FIRMWARES) {
  void t.test(`a ${firmware} machine is started with exactly these arguments`, (t) => {
    const argv = qemuArguments({ machine: machine(firmware), rigDir: '/run/r', isNetworkFirst: true })
    t.equal(argv.join(' '), GOLDEN[firmware].replaceAll(/\s+/g, ' '))
    t.end()
  })
}

void t.test(
  "a machine with an iNIC card boots from the card's disk, has the seed beside it and no PXE",
  (t) => {
    const plan = { ...machine('bios'), cardSocket: '/run/a,b/nbd.sock' }
    const argv = qemuArguments({ machine: plan, rigDir: '/run/r', isNetworkFirst: true }).join(' ')
    const server = 'server.type=unix,server.path=/run/a,,b/nbd.sock'
    const added = `-device virtio-net-pci,netdev=net0,mac=52:54:00:18:00:01,romfile=
    -blockdev driver=nbd,node-name=root,${server},export=machine/m1,reconnect-delay=86400,discard=unmap
    -device virtio-blk-pci,drive=root,bootindex=1
    -blockdev driver=nbd,node-name=seed,${server},export=machine/m1/seed,reconnect-delay=86400,read-only=on
    -device virtio-blk-pci,drive=seed`
    t.equal(argv, `${COMMON} ${added}`.replaceAll(/\s+/g, ' '))
    t.end()
  },
)

void t.test('firmware boots from the first NIC only; a wire has whole frames and a speed', (t) => {
  const nics = [
    { mac: '52:54:00:18:00:01', segment: 'storage', tap: 'tap0' },
    { mac: '52:54:00:18:00:02', segment: 'tenant', tap: 'tap0n1' },
    { mac: '52:54:00:18:00:03', segment: 'wire', tap: 'tap0n2' },
  ] as const
  const plan = { ...machine('bios'), nics }
  const argv = qemuArguments({ machine: plan, rigDir: '/run/r', isNetworkFirst: true }).join(' ')
  const added = `${NIC}
    -netdev tap,id=net1,ifname=tap0n1,script=no,downscript=no
    -device virtio-net-pci,netdev=net1,mac=52:54:00:18:00:02,romfile=
    -netdev tap,id=net2,ifname=tap0n2,script=no,downscript=no,vnet_hdr=off
    -device virtio-net-pci,netdev=net2,mac=52:54:00:18:00:03,speed=10000,duplex=full,romfile=`
  t.equal(argv, `${COMMON} ${added}`.replaceAll(/\s+/g, ' '))
  t.end()
})

void t.test('a local disk comes after the NIC in the boot order', (t) => {
  const plan = { ...machine('bios'), diskFile: '/run/a,b/disk.raw' }
  const argv = qemuArguments({ machine: plan, rigDir: '/run/r', isNetworkFirst: true }).join(' ')
  const added = `${NIC} -blockdev driver=file,node-name=local-file,filename=/run/a,,b/disk.raw
    -blockdev driver=raw,node-name=local,file=local-file -device virtio-blk-pci,drive=local,bootindex=2`
  t.equal(argv, `${COMMON} ${added}`.replaceAll(/\s+/g, ' '))
  t.end()
})

void t.test('a disk-first machine has no boot index on its NIC', (t) => {
  const argv = qemuArguments({ machine: machine('bios'), rigDir: '/run/r', isNetworkFirst: false })
  t.notMatch(argv.join(' '), /bootindex/)
  t.end()
})

void t.test('a comma in a path cannot start another QEMU option', (t) => {
  const argv = qemuArguments({ machine: machine('uefi'), rigDir: '/run/a,readonly=on', isNetworkFirst: true })
  t.ok(argv.includes('file,id=console,path=/run/a,,readonly=on/m1/console.log,append=on'))
  t.end()
})
