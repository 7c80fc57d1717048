import t from 'tap'
import { quoteYaml, writeYaml } from '../../src/firstboot/yaml.js'

void t.test('strings are quoted in ASCII, so that no parser takes them for something else', (t) => {
  const cases: readonly [text: string, yaml: string][] = [
    ['no', '"no"'],
    ['52:54:00:12:34:56', '"52:54:00:12:34:56"'],
    ['a"b\\c', '"a\\"b\\\\c"'],
    ['a\nb: c', '"a\\u000ab: c"'],
    ['\u007f\u0085\u2028\ufeff', '"\\u007f\\u0085\\u2028\\ufeff"'],
    ['é😀', '"\\u00e9\\U0001f600"'],
    ['{{ x }} # &a *b', '"{{ x }} # &a *b"'],
  ]
  for (const [text, yaml] of cases) t.equal(quoteYaml(text), yaml)
  t.end()
})

void t.test('mappings and sequences are nested by indentation', (t) => {
  const text = writeYaml({
    list: [{ to: 'default', via: 'x' }, {}, ['y', []], 3],
    none: [],
    empty: {},
    gone: undefined,
    'Key: 1': { deep: true },
  })
  t.equal(
    text,
    `list:
  - to: "default"
    via: "x"
  - {}
  -
    - "y"
    - []
  - 3
none: []
empty: {}
"Key: 1":
  deep: true
`,
  )
  t.end()
})
