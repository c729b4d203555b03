// The tests with Synapse are a suite of their own: they need Python. See scripts/synapse.sh.

import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    dir: import.meta.dirname,
    pool: 'threads',
    // Each file has two servers, one of which wants a whole processor to start.
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
})
