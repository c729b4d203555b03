// When devices were seen last: told exactly, written now and then.

import { expect, test } from 'vitest'
import type { HubContext } from '../../src/hub/context.ts'
import { deviceSeen, forgetSeen, lastSeen } from '../../src/hub/last-seen.ts'
import { memorySql } from '../support/memory-sql.ts'

const minute = 60_000

function hubWith(clock: { now: number }): HubContext {
  const sql = memorySql()
  sql.exec('CREATE TABLE devices (uid, device_id, last_seen_ts, last_seen_ip)')
  sql.exec("INSERT INTO devices VALUES (1, 'A', 0, '192.0.2.1')")
  // All that it looks at.
  return { sql, now: () => clock.now } as unknown as HubContext
}

const written = (hub: HubContext) =>
  hub.sql
    .exec<{ ts: number; ip: string }>('SELECT last_seen_ts AS ts, last_seen_ip AS ip FROM devices')
    .toArray()

test('a device that is there is written every quarter of an hour, and known to the moment', () => {
  const clock = { now: 0 }
  const hub = hubWith(clock)
  for (clock.now = minute; clock.now < 15 * minute; clock.now += minute) deviceSeen(hub, 1, 'A', '192.0.2.1')
  expect(written(hub)).toEqual([{ ts: 0, ip: '192.0.2.1' }])
  expect(lastSeen(hub, 1, 'A')).toMatchObject({ ts: 14 * minute, ip: '192.0.2.1' })
  deviceSeen(hub, 1, 'A', '192.0.2.1')
  expect(written(hub)).toEqual([{ ts: 15 * minute, ip: '192.0.2.1' }])
  clock.now = 29 * minute
  deviceSeen(hub, 1, 'A')
  expect(written(hub)).toEqual([{ ts: 15 * minute, ip: '192.0.2.1' }])
  clock.now = 30 * minute
  deviceSeen(hub, 1, 'A')
  expect(written(hub)).toEqual([{ ts: 30 * minute, ip: '192.0.2.1' }])
})

test('another address is written at once', () => {
  const clock = { now: minute }
  const hub = hubWith(clock)
  deviceSeen(hub, 1, 'A', '192.0.2.2')
  expect(written(hub)).toEqual([{ ts: minute, ip: '192.0.2.2' }])
})

test('nothing is known of a device that is gone', () => {
  const hub = hubWith({ now: minute })
  deviceSeen(hub, 1, 'A')
  forgetSeen(hub, 1, 'A')
  expect(lastSeen(hub, 1, 'A')).toBeUndefined()
})
