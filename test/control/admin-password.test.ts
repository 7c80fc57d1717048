import t from 'tap'
import { runCommand } from '../../src/command.js'
import { checkPassword, hashForImage } from '../../src/control/admin-password.js'

const LINUX = { name: 'debian', osType: 'linux' } as const

void t.test(
  'a password that is too weak is refused with the rule, and never repeated in the refusal',
  (t) => {
    const refused: Readonly<Record<string, RegExp>> = {
      'Ab1-': /8 to 26 characters, got 4/,
      ['Ab1-'.repeat(7)]: /8 to 26 characters, got 28/,
      lowercase1: /three of/,
      ONLYUPPER1: /three of/,
      'pass word A1': /only/,
      'Pass"word1': /only/,
      Pässword12: /only/,
      'Pass\nword1': /only/,
      Administrator: /three of/,
      rotartsinimdA: /three of/,
    }
    for (const [password, message] of Object.entries(refused)) {
      const said = t.throws(() => checkPassword(password), { code: 'INVALID_INPUT', message })
      t.notOk(said instanceof Error && said.message.includes(password), 'and is not in what is said')
    }
    for (const good of ['Abcdefg1', 'abc-defg1', 'ABC:DEF?9', 'x'.repeat(24) + 'Y1']) checkPassword(good)
    t.end()
  },
)

void t.test('the hash is crypt(3) SHA-512 of the password and of nothing more', async (t) => {
  const password = 'Correct-Horse9'
  const hash = (await hashForImage(password, LINUX)) ?? ''
  const [, , salt = ''] = hash.split('$')
  const { stdout } = await runCommand('openssl', ['passwd', '-6', '-salt', salt, '-stdin'], {
    timeoutMs: 10_000,
    stdin: password,
  })
  t.equal(stdout.trim(), hash)
  t.equal(await hashForImage(undefined, LINUX), undefined)
})
