/** Tests of libiscsi 1.19's suite that are skipped, and why; any other skip counts as a failure. */
const SKIPS: readonly (readonly [test: RegExp, reason: string])[] = [
  [/\.(NoMedia|PreventAllow|StartStopUnit)\./, 'needs a removable medium; a volume is not one'],
  [/\.MultipathIO\./, 'needs two paths (--two)'],
  [
    /\.Sanitize\.(Crypto|ExitFailure)/,
    'a volume is not encrypted, and an erase that failed may be tried again',
  ],
  [
    /\.Sanitize\.(Overwrite|Readonly|Reservations|Reset)$/,
    'uses SANITIZE OVERWRITE, which would fill a thin volume; BLOCK ERASE is there',
  ],
  [/\.WriteSame1.\.ZeroBlocks$/, 'WSNZ is 1 (VPD B0h): no count means nothing, not the whole disk'],
  [
    /\.ReportSupportedOpcodes\.OneCommand$/,
    "a mistake of the suite: it takes the INVALID FIELD IN CDB it asks for as 'not implemented'",
  ],
]

/** Tests that no right answer passes; they are not run. */
const MISTAKEN: ReadonlyMap<string, string> = new Map([
  [
    'ALL.iSCSITMF.LUNResetSimpleAsync',
    'a mistake of the suite: it asserts that the reset was answered before it sends the request',
  ],
  [
    'ALL.WriteAtomic16.Simple',
    'a mistake of the suite: it writes up to 256 blocks whatever MAXIMUM ATOMIC TRANSFER LENGTH is (8)',
  ],
])

/** LUNs of the target that the suite is run against. */
export const LUN = { THIN: 0, SMALL_BLOCKS: 1, READ_ONLY: 2 } as const

const ON_OTHER_LUN: ReadonlyMap<string, number> = new Map([
  ['ALL.ReadOnly.ReadOnlySBC', LUN.READ_ONLY],
  // With 8 blocks in a physical block it asks about LBA n + 1 and wants to be told of n + 8.
  ['ALL.GetLBAStatus.UnmapSingle', LUN.SMALL_BLOCKS],
])

/** Why a test is not run at all. */
export function mistakeOf(test: string): string | undefined {
  return MISTAKEN.get(test)
}

/** Why a test may be skipped; undefined when nothing excuses it. */
export function skipReason(test: string, hasTwoPaths: boolean): string | undefined {
  const reason = SKIPS.find(([name]) => name.test(test))?.[1]
  return hasTwoPaths && test.includes('.MultipathIO.') ? undefined : reason
}

/** The LUN that a test is run on: the writable thin volume, but for two. */
export function lunFor(test: string): number {
  return ON_OTHER_LUN.get(test) ?? LUN.THIN
}
