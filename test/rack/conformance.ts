// `npm run conformance [-- REGEX] [--two]`: libiscsi's suite, test by test, against a fresh thin LUN.
import { hasSuite, runSuite } from './iscsi-suite.js'

const { log } = console
if (!hasSuite) {
  log('the suite needs iscsi-test-cu (Debian: libiscsi-bin)')
  process.exit(2)
}
const words = process.argv.slice(2)
const pattern = words.find((word) => !word.startsWith('--')) ?? '.'
const results = await runSuite({
  wanted: new RegExp(pattern),
  hasTwoPaths: words.includes('--two'),
  jobs: 2,
  onResult: ({ test, outcome, reason }) => {
    if (outcome !== 'passed') log(`${outcome} ${test}: ${reason}`)
  },
})
const count = (outcome: string): number => results.filter((result) => result.outcome === outcome).length
log(
  `${String(count('passed'))} passed, ${String(count('failed'))} failed, ${String(count('skipped'))} skipped`,
)
process.exitCode = count('failed') === 0 && results.length > 0 ? 0 : 1
