import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCommand } from '../../src/command.js'

const SECTOR_BYTES = 512
const SIZE_BYTES = 8 << 20
const ESP_FIRST_SECTOR = 2048
const ESP_SECTORS = 12_288
const LIMIT = { timeoutMs: 60_000 } as const
/** Where a protective MBR's boot code ends. */
const CODE_BYTES = 440
/** A sector of the gap before the first partition that no GPT of 128 entries has. */
const TEXT_SECTOR = 40

/**
 * Boot code for LBA 0: reads {@link TEXT_SECTOR} by INT 13h, as GRUB would its core, and sends what is there to COM1.
 * Nothing is said when either read fails.
 */
const BOOT_CODE = [
  ...[0x31, 0xc0], //             xor  ax, ax
  ...[0x8e, 0xd8, 0x8e, 0xc0], // mov  ds, ax; mov es, ax
  ...[0xbe, 0x2d, 0x7c], //       mov  si, 0x7c2d      the disk address packet below
  ...[0xb4, 0x42], //             mov  ah, 0x42        extended read; dl is the drive we came from
  ...[0xcd, 0x13], //             int  0x13
  ...[0x72, 0x1b], //             jc   halt
  ...[0xbe, 0x00, 0x7e], //       mov  si, 0x7e00
  ...[0xfc], //                   cld
  ...[0xac], //             next: lodsb
  ...[0x84, 0xc0], //             test al, al
  ...[0x74, 0x12], //             jz   halt
  ...[0x88, 0xc3], //             mov  bl, al
  ...[0xba, 0xfd, 0x03], //       mov  dx, 0x3fd       line status
  ...[0xec], //             wait: in   al, dx
  ...[0xa8, 0x20], //             test al, 0x20        room for a byte
  ...[0x74, 0xfb], //             jz   wait
  ...[0xba, 0xf8, 0x03], //       mov  dx, 0x3f8
  ...[0x88, 0xd8], //             mov  al, bl
  ...[0xee], //                   out  dx, al
  ...[0xeb, 0xe9], //             jmp  next
  ...[0xf4], //             halt: hlt
  ...[0xeb, 0xfd], //             jmp  halt
  ...[0x10, 0, 1, 0, 0x00, 0x7e, 0, 0, TEXT_SECTOR, 0, 0, 0, 0, 0, 0, 0], // packet: 1 sector to 0000:7e00
]

/**
 * Writes a disk of 8 MiB to `path` that BIOS and UEFI both boot and that does one thing: it says `text` on the first
 * serial port. Half a second to make, a second to boot, where an operating system takes a minute.
 */
export async function makeProofDisk(path: string, text: string): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), 'ingot-proof-'))
  try {
    const esp = join(scratch, 'esp.img')
    await makeEsp(scratch, esp, text)
    const file = await open(path, 'w')
    await file.truncate(SIZE_BYTES)
    await file.close()
    const partition = `${ESP_FIRST_SECTOR}:+${ESP_SECTORS / 2}K`
    await runCommand('sgdisk', ['-n', `1:${partition}`, '-t', '1:ef00', path], LIMIT)
    await place(path, esp, text)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** A FAT file system whose removable-media loader is a GRUB that only speaks. */
async function makeEsp(scratch: string, esp: string, text: string): Promise<void> {
  const script = join(scratch, 'early.cfg')
  const loader = join(scratch, 'bootx64.efi')
  await writeFile(script, `echo "${text}"\nsleep 60\nhalt\n`)
  const modules = ['echo', 'sleep', 'halt', 'normal']
  const format = ['-O', 'x86_64-efi', '-p', '/EFI/BOOT', '-c', script]
  await runCommand('grub-mkimage', [...format, '-o', loader, ...modules], LIMIT)
  await runCommand('mkfs.vfat', ['-C', esp, String(ESP_SECTORS / 2)], LIMIT)
  await runCommand('mmd', ['-i', esp, '::EFI', '::EFI/BOOT'], LIMIT)
  await runCommand('mcopy', ['-i', esp, loader, '::EFI/BOOT/BOOTX64.EFI'], LIMIT)
}

async function place(path: string, esp: string, text: string): Promise<void> {
  const disk = await open(path, 'r+')
  try {
    const source = await open(esp, 'r')
    const content = await source.readFile()
    await source.close()
    await disk.write(content, 0, content.length, ESP_FIRST_SECTOR * SECTOR_BYTES)
    const code = Buffer.alloc(CODE_BYTES)
    Buffer.from(BOOT_CODE).copy(code)
    await disk.write(code, 0, CODE_BYTES, 0)
    await disk.write(Buffer.from(`${text}\r\n\0`, 'latin1'), 0, text.length + 3, TEXT_SECTOR * SECTOR_BYTES)
  } finally {
    await disk.close()
  }
}
