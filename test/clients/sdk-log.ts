// What the SDK logs goes through the console: kept back, and shown only when a test fails.

const keptLines = 300
const lines: string[] = []

/** Takes the console away from the SDK. */
export function keepSdkLog(): void {
  for (const level of ['debug', 'info', 'log', 'trace', 'warn', 'error'] as const) {
    console[level] = (...parts: unknown[]) => {
      lines.push(`${level}: ${parts.map(String).join(' ')}`)
      if (lines.length > keptLines) lines.shift()
    }
  }
}

/** Prints what was logged last. */
export function showSdkLog(): void {
  process.stderr.write(`matrix-js-sdk logged:\n${lines.join('\n')}\n`)
}
