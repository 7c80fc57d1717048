import t from 'tap'
import { SessionTokens } from '../../../src/firstboot/metadata/session-tokens.js'
import { ManualClock } from '../../fakes/manual-clock.js'

void t.test('a token is good for its peer and its time', (t) => {
  const clock = new ManualClock()
  const tokens = new SessionTokens(clock)
  const token = tokens.issue('a', 10)
  t.ok(tokens.isValid('a', token))
  t.notOk(tokens.isValid('b', token), 'another peer has no use for it')
  clock.advance(9999)
  t.ok(tokens.isValid('a', token))
  clock.advance(1)
  t.notOk(tokens.isValid('a', token))
  t.end()
})

void t.test('a token that was changed, cut, or made by another daemon is not valid', (t) => {
  const clock = new ManualClock()
  const tokens = new SessionTokens(clock)
  const token = tokens.issue('a', 10)
  const bytes = Buffer.from(token, 'base64url')
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] ?? 0) ^ 1
    t.notOk(tokens.isValid('a', changed.toString('base64url')), String(at))
  }
  for (const text of ['', token.slice(1), `${token}AAAA`, '???', new SessionTokens(clock).issue('a', 10)]) {
    t.notOk(tokens.isValid('a', text), text)
  }
  t.end()
})
