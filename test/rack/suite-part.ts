import t from 'tap'
import { hasSuite, runSuite, type SuiteOptions } from './iscsi-suite.js'

/** Makes a tap test of a part of libiscsi's suite; each of its tests is an assertion. */
export async function testSuitePart(
  what: string,
  part: Pick<SuiteOptions, 'wanted' | 'hasTwoPaths'>,
): Promise<void> {
  const name = `libiscsi's suite passes where it ${what}`
  await t.test(hasSuite ? name : `${name} (skipped: libiscsi-bin is not installed)`, async (test) => {
    if (!hasSuite) return
    const results = await runSuite({ ...part, jobs: 2 })
    for (const { test: each, outcome, reason } of results) test.not(outcome, 'failed', each, { reason })
    test.ok(results.filter(({ outcome }) => outcome === 'passed').length > 20, 'most of them were run')
  })
}
