// Stored filters. Specification: client-server API, "Filtering".

import type { HubContext } from './context.ts'

/** Stores a filter given as JSON text. Answers its id; the same filter gets the same id. */
export function storeFilter(hub: HubContext, uid: number, json: string): string {
  const known = hub.sql
    .exec<{ filter_id: number }>('SELECT filter_id FROM filters WHERE uid = ? AND json = ?', uid, json)
    .toArray()[0]
  if (known) return String(known.filter_id)
  const { filter_id: id } = hub.sql
    .exec<{ filter_id: number }>(
      `INSERT INTO filters (uid, filter_id, json)
       VALUES (?, ifnull((SELECT max(filter_id) FROM filters WHERE uid = ?), 0) + 1, ?) RETURNING filter_id`,
      uid,
      uid,
      json,
    )
    .one()
  return String(id)
}

/** The JSON text of a stored filter, undefined for an id that was never given out to this user. */
export function getFilter(hub: HubContext, uid: number, filterId: string): string | undefined {
  if (!/^[1-9]\d{0,14}$/.test(filterId)) return undefined
  return hub.sql
    .exec<{ json: string }>('SELECT json FROM filters WHERE uid = ? AND filter_id = ?', uid, Number(filterId))
    .toArray()[0]?.json
}
