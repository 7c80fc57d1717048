import { testSuitePart } from './suite-part.js'

await testSuitePart('looks at iSCSI itself, and at a LUN by two paths', {
  wanted: /^ALL\.(iSCSI|MultipathIO|Prin|Prout|Reserve6|Sanitize)/,
  hasTwoPaths: true,
})
