import { testSuitePart } from './suite-part.js'

await testSuitePart('reads, verifies and maps the medium', {
  wanted: /^ALL\.(GetLBAStatus|Prefetch|Read|Verify)/,
  hasTwoPaths: false,
})
