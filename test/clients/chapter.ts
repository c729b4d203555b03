// Tests that are one story: each goes on where the one before it ended.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { showSdkLog } from './sdk-log.ts'

let failed: string | undefined

/** A test that needs all those before it in its file. `timeout` is in milliseconds. */
export function chapter(name: string, run: () => Promise<void>, timeout = 60_000): void {
  void test(name, { timeout }, async () => {
    assert(failed === undefined, `not tried, because this failed: ${failed}`)
    failed = name
    try {
      await run()
      failed = undefined
    } catch (error) {
      showSdkLog()
      throw error
    }
  })
}
