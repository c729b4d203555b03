// Makes every test fail whose requests or answers are not as the OpenAPI documents have them, where these are.

import { afterAll, afterEach } from 'vitest'
import { refuseViolations } from './recorder.ts'
import { watchFetch } from './watch-fetch.ts'

watchFetch()
afterEach(refuseViolations)
// What hooks have asked.
afterAll(refuseViolations)
