import Table from 'cli-table3'

/** `-o`: how results are printed. */
export type OutputFormat = 'table' | 'json' | 'value'

/** A column of a listing: its heading and the field of the row. */
export type Columns<T> = readonly (readonly [heading: string, field: keyof T & string])[]

/** Prints rows as a table, as JSON, or as bare values. */
export function printList<T extends object>(
  rows: readonly T[],
  columns: Columns<T>,
  format: OutputFormat,
): void {
  const heads = columns.map(([heading]) => heading)
  const cells = rows.map((row) => columns.map(([, field]) => cellText(row[field])))
  if (format === 'json') printJson(rows)
  else if (format === 'value') for (const row of cells) printLine(row.join(' '))
  else printTable(heads, cells)
}

/** Prints one thing, a line per field. */
export function printOne(thing: object, format: OutputFormat): void {
  const rows = Object.entries(thing).map(([field, value]): [string, string] => [field, cellText(value)])
  if (format === 'json') printJson(thing)
  else if (format === 'value') for (const [, value] of rows) printLine(value)
  else printTable(['Field', 'Value'], rows)
}

/** A line on standard output. */
export function printLine(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** Seconds with one decimal, from milliseconds. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

function printJson(value: unknown): void {
  printLine(JSON.stringify(value, undefined, 2))
}

// One line per row and no rules beside it: what a terminal, `grep` and `awk` all read.
const NO_RULES = Object.fromEntries(
  ['top', 'bottom', 'left', 'right', 'mid']
    .flatMap((side) => ['', '-mid', '-left', '-right'].map((end) => `${side}${end}`))
    .map((name) => [name, '']),
)

function printTable(head: string[], rows: string[][]): void {
  const style = { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true }
  const table = new Table({ head, style, chars: { ...NO_RULES, middle: '  ' } })
  table.push(...rows)
  for (const line of table.toString().split('\n')) printLine(line.trimEnd())
}

function cellText(value: unknown): string {
  if (value === null || value === undefined) return '-'
  return typeof value === 'string' ? value : JSON.stringify(value)
}
