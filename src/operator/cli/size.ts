import { InvalidArgumentError } from 'commander'

const UNITS = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 } as const

/** Bytes of `10G`: a whole number and K, M, G or T, powers of 1,024. @throws InvalidArgumentError */
export function toBytes(text: string): number {
  const [, digits = '', unit = ''] = /^([0-9]{1,15})([KMGT]?)$/.exec(text) ?? []
  const bytes = Number(digits) * UNITS[unit as keyof typeof UNITS] // one of them, the pattern says
  if (digits !== '' && Number.isSafeInteger(bytes)) return bytes
  throw new InvalidArgumentError('expected a whole number of bytes, or one with K, M, G or T: 10G.')
}
