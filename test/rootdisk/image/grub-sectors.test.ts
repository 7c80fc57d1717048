import t from 'tap'
import { bootSector, placedCore } from '../../../src/rootdisk/image/grub-sectors.js'

void t.test('the boot sector keeps the partition table and names the core', (t) => {
  const lba0 = new Uint8Array(512).fill(0x11)
  const sector = bootSector(new Uint8Array(512).fill(0x22), lba0, 2048)
  t.same(sector.subarray(440, 512), lba0.subarray(440, 512), 'bytes 440-511 stay')
  t.equal(sector[0], 0x22)
  t.same([...sector.subarray(0x5c, 0x64)], [0, 8, 0, 0, 0, 0, 0, 0])
  t.same([...sector.subarray(0x66, 0x68)], [0x90, 0x90])
  t.equal(lba0[0], 0x11, 'the input is left alone')
  t.end()
})

void t.test('the core is padded and its block list points behind its first sector', (t) => {
  const placed = placedCore(new Uint8Array(1300).fill(7), 2048, 2048)
  t.equal(placed.length, 1536)
  t.same([...placed.subarray(0x1f4, 0x200)], [1, 8, 0, 0, 0, 0, 0, 0, 2, 0, 0x20, 0x08])
  t.equal(placed[1299], 7)
  t.end()
})

void t.test('a core that does not fit is not written', (t) => {
  t.throws(() => placedCore(new Uint8Array(1025), 2048, 2), RangeError)
  t.throws(() => placedCore(new Uint8Array(512), 2048, 2), RangeError)
  t.end()
})
