import { beforeEach, expect, it, vi } from 'vitest'
import { heardOf } from '../../../src/federation/sender/heard-of.ts'
import type { AppContext } from '../../../src/http/app-type.ts'
import type { ServerName } from '../../../src/matrix/event.ts'

const [well, failing] = ['well.test', 'failing.test'] as [ServerName, ServerName]

let asked: number
let woken: ServerName[]
let answers: boolean
let work: Promise<unknown>[]
let context: AppContext

beforeEach(() => {
  vi.useFakeTimers()
  asked = 0
  woken = []
  answers = true
  work = []
  const stub = {
    failingDestinations: () => {
      asked += 1
      return answers ? Promise.resolve([failing]) : Promise.reject(new Error('away'))
    },
    wake: (name: ServerName) => {
      woken.push(name)
      return Promise.resolve()
    },
  }
  context = {
    env: { FEDERATION_SENDER: { idFromName: () => 'id', get: () => stub } },
    executionCtx: { waitUntil: (promise: Promise<unknown>) => void work.push(promise) },
  } as unknown as AppContext
  return () => {
    vi.useRealTimers()
  }
})

async function hear(server: ServerName, times = 1): Promise<void> {
  for (let i = 0; i < times; i += 1) heardOf(context, server)
  await Promise.all(work)
}

it('the sender is asked once a minute who fails, however many requests come', async () => {
  await hear(well, 100)
  expect(asked).toBe(1)
  expect(woken).toEqual([])
  vi.advanceTimersByTime(61_000)
  await hear(well)
  expect(asked).toBe(2)
})

it('a failing destination is woken, once', async () => {
  await hear(failing, 3)
  expect(woken).toEqual([failing])
  vi.advanceTimersByTime(61_000)
  await hear(failing)
  expect(woken).toEqual([failing, failing])
})

it('a request is answered whether the sender can be asked or not', async () => {
  const lines = vi.spyOn(console, 'log').mockReturnValue()
  answers = false
  await hear(failing)
  expect(woken).toEqual([])
  expect(lines).toHaveBeenCalledOnce()
})
