import { testSuitePart } from './suite-part.js'

await testSuitePart('changes the medium', {
  wanted: /^ALL\.(CompareAndWrite|OrWrite|Sanitize|Unmap|Write)/,
  hasTwoPaths: false,
})
