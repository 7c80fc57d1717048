import { testSuitePart } from './suite-part.js'

// All that neither suite-medium nor suite-two-paths runs.
await testSuitePart('asks, sets, reserves and copies', {
  wanted:
    /^ALL\.(?!CompareAndWrite|GetLBAStatus|OrWrite|Prefetch|Read\d|ReadCapacity|Unmap|Verify|Write|iSCSI|MultipathIO)/,
  hasTwoPaths: false,
})
