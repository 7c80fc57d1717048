/** A record as SQLite gives it: what may be absent is null. */
export type Row<R> = { [K in keyof R]: undefined extends R[K] ? Exclude<R[K], undefined> | null : R[K] }

/** The record of `row`: every null becomes undefined. */
export function fromRow<R extends object>(row: Row<R>): R {
  const entries = Object.entries(row).map(([column, value]: [string, unknown]) => [
    column,
    value ?? undefined,
  ])
  return Object.fromEntries(entries) as R // the same keys, as the mapped type Row says
}

/** {@link fromRow}, or undefined when there is no row. */
export function fromOptionalRow<R extends object>(row: Row<R> | undefined): R | undefined {
  return row === undefined ? undefined : fromRow(row)
}
