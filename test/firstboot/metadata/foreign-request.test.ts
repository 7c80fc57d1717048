import t from 'tap'
import { foreignRequest } from '../../../src/firstboot/metadata/foreign-request.js'

const HOSTS = new Set(['169.254.169.254', '198.18.0.1'])
const OWN = { host: ['169.254.169.254'] }

void t.test('a request to one of our addresses, with or without a port, is a server’s own', (t) => {
  t.equal(foreignRequest(OWN, HOSTS), undefined)
  t.equal(foreignRequest({ host: ['198.18.0.1:80'] }, HOSTS), undefined)
  t.end()
})

void t.test('what a proxy passes on is refused, whatever the header says', (t) => {
  for (const name of ['x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'forwarded', 'via']) {
    t.match(foreignRequest({ ...OWN, [name]: [''] }, HOSTS), name)
  }
  t.end()
})

void t.test('a Host of somebody else, none, or two are refused', (t) => {
  const strange = [
    ['attacker.example'],
    ['169.254.169.254.attacker.example'],
    ['169.254.169.254', '198.18.0.1'],
    ['169.254.169.254:80:80'],
    ['169.254.169.254@attacker.example'],
    [''],
    [],
  ]
  for (const host of strange) t.match(foreignRequest({ host }, HOSTS), 'Host', host.join())
  t.match(foreignRequest({}, HOSTS), 'Host')
  t.end()
})
