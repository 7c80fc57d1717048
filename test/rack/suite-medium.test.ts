import { testSuitePart } from './suite-part.js'

await testSuitePart('reads, writes and maps the medium', {
  wanted: /^ALL\.(CompareAndWrite|GetLBAStatus|OrWrite|Prefetch|Read\d|ReadCapacity|Unmap|Verify|Write)/,
  hasTwoPaths: false,
})
