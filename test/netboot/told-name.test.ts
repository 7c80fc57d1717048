import t from 'tap'
import { newBootToken } from '../../src/control/boot-credentials.js'
import { bootUrl } from '../../src/netboot/decide.js'
import { toldName } from '../../src/netboot/told-name.js'

void t.test('no token of a boot is told, whatever it stands in', (t) => {
  const token = newBootToken()
  const url = bootUrl({ address: '198.18.0.1', httpPort: 8080 }, token)
  t.equal(toldName(`${url}/script`), 'http://198.18.0.1:8080/boot/TOKEN/script')
  t.equal(toldName(`/boot/${token}/kernel`), '/boot/TOKEN/kernel')
  t.equal(toldName(`${url}/a ${url}/b`).includes(token), false)
  t.equal(toldName('snponly.efi'), 'snponly.efi')
  t.equal(
    toldName('http://198.18.0.1:8080/boot/start/52:54:00:00:00:01'),
    'http://198.18.0.1:8080/boot/start/52:54:00:00:00:01',
  )
  t.end()
})
