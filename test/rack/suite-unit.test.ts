import { testSuitePart } from './suite-part.js'

// All that suite-reads and suite-writes leave.
await testSuitePart('asks, sets, reserves and copies', {
  wanted:
    /^ALL\.(?!GetLBAStatus|Prefetch|Read|Verify|CompareAndWrite|OrWrite|Sanitize|Unmap|Write|MultipathIO)/,
  hasTwoPaths: false,
})
