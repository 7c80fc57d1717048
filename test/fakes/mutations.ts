/** Park and Miller's generator: the same mutations in every run. */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 48271) % 2147483647
    return state % below
  }
}

/** A seed with some bytes changed, and now and then cut short, repeated or with bytes inserted; always a copy. */
export function mutated(seeds: readonly Uint8Array[], random: (below: number) => number): Buffer {
  let bytes = Buffer.from(seeds[random(seeds.length)] ?? [])
  for (let count = 1 + random(6); count > 0; count--) {
    const at = random(Math.max(1, bytes.length))
    const kind = random(8)
    if (kind === 0) bytes = bytes.subarray(0, at)
    else if (kind === 1)
      bytes = Buffer.concat([
        bytes.subarray(0, at),
        Buffer.alloc(random(64), random(256)),
        bytes.subarray(at),
      ])
    else if (kind === 2) bytes = Buffer.concat([bytes, bytes.subarray(at)]).subarray(0, 1400)
    else if (bytes.length > 0) bytes[at] = kind < 5 ? ([0, 255, 127, 128][random(4)] ?? 0) : random(256)
  }
  return bytes
}
