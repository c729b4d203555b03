import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [
      'test/clients/**',
      'test/bridge/**',
      'test/conformance/**',
      'test/federation/synapse/**',
      'test/browser/**',
    ],
    pool: 'threads',
    maxWorkers: 2,
    // Holds all requests and answers against the OpenAPI documents of the specification, where these are.
    setupFiles: ['test/contract/setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 20_000 } },
    // Some wait for what another server does within seconds, which a busy machine may not grant at the first attempt.
    retry: process.env['CI'] === undefined ? 0 : 1,
  },
})
