/** What the seed documents are made of. */
export type YamlValue = string | number | boolean | readonly YamlValue[] | YamlMapping

/** Members in the order they are written; undefined ones are left out. */
export interface YamlMapping {
  readonly [key: string]: YamlValue | undefined
}

const PLAIN_KEY = /^[a-z][a-z0-9_-]*$/

/**
 * `value` as a YAML document that every parser reads the same way. Strings are always double-quoted
 * ASCII: YAML 1.1 parsers (cloud-init's) take a bare `52:54:00:12:34:56` for a number in base 60 and
 * `no` for false.
 */
export function writeYaml(value: YamlMapping): string {
  return mapping(value, '')
}

/** `text` as a YAML double-quoted scalar in printable ASCII (YAML 1.2 §7.3.1). */
export function quoteYaml(text: string): string {
  return `"${text.replaceAll(/["\\]|[^ -~]/gu, escapeCharacter)}"`
}

function escapeCharacter(character: string): string {
  if (character === '"' || character === '\\') return `\\${character}`
  const code = (character.codePointAt(0) ?? 0).toString(16)
  // Above the first plane YAML wants one \U escape; a JSON surrogate pair would be read as two characters.
  return code.length > 4 ? `\\U${code.padStart(8, '0')}` : `\\u${code.padStart(4, '0')}`
}

function mapping(value: YamlMapping, indent: string): string {
  return Object.entries(value)
    .map(([key, member]) => {
      if (member === undefined) return ''
      return `${indent}${PLAIN_KEY.test(key) ? key : quoteYaml(key)}:${block(member, indent)}`
    })
    .join('')
}

function block(value: YamlValue, indent: string): string {
  if (isSequence(value)) {
    if (value.length === 0) return ' []\n'
    return `\n${value.map((item) => `${indent}  -${sequenceItem(item, `${indent}  `)}`).join('')}`
  }
  if (typeof value !== 'object') return ` ${scalar(value)}\n`
  const inner = mapping(value, `${indent}  `)
  return inner === '' ? ' {}\n' : `\n${inner}`
}

function sequenceItem(value: YamlValue, indent: string): string {
  if (isSequence(value) || typeof value !== 'object') return block(value, indent)
  const inner = mapping(value, `${indent}  `)
  return inner === '' ? ' {}\n' : ` ${inner.trimStart()}`
}

function scalar(value: string | number | boolean): string {
  return typeof value === 'string' ? quoteYaml(value) : String(value)
}

function isSequence(value: YamlValue): value is readonly YamlValue[] {
  return Array.isArray(value)
}
