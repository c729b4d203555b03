// Logs for the operator: one JSON line an event, with ids to grep by. Never a token, a key or a message body.

export type LogEvent =
  | { event: 'request_failed'; method: string; path: string; error: string; stack?: string }
  | { event: 'fan_out_failed'; room_id: string; shard: number; error: string }
  | { event: 'fan_out_retried'; room_id: string; events: number }
  | { event: 'missing_events_failed'; room_id: string; server: string; error: string }
  | {
      event: 'pdu_refused'
      room_id: string
      event_id: string
      server: string
      outcome: string
      rule: string
      reason: string
    }
  | { event: 'policy_server_failed'; room_id: string; server: string; event_id: string; error: string }
  | { event: 'hierarchy_failed'; room_id: string; server: string; error: string }
  | { event: 'edu_ignored'; server: string; error: string }
  | { event: 'transaction_room_failed'; room_id: string; server: string; error: string }
  | { event: 'delayed_events_failed'; room_id: string; error: string }
  | { event: 'own_events_failed'; room_id: string; error: string }
  | { event: 'index_failed'; room_id: string; error: string }
  | { event: 'sender_not_told'; room_id: string; error: string }
  | { event: 'transaction_not_made'; destination: string; error: string }
  | { event: 'transaction_failed'; destination: string; txn_id: string; failures: number; error: string }
  | { event: 'queue_failed'; messages: number; error: string }
  | { event: 'pdu_not_accepted'; destination: string; event_id: string; error: string }
  | { event: 'destination_back'; destination: string }
  | { event: 'not_woken'; destination: string; error: string }
  | { event: 'presence_not_told'; error: string }
  | { event: 'edu_not_told'; room_id: string; error: string }
  | { event: 'join_state_refused'; room_id: string; server: string; refused: number; reason: string }
  | { event: 'join_broken_off'; room_id: string; error: string }
  | { event: 'leave_not_told'; room_id: string; error: string }
  | { event: 'third_party_invite_failed'; room_id: string; user_id: string; error: string }
  | { event: 'keys_not_fetched'; server_name: string; error: string }
  | { event: 'device_list_not_told'; user_id: string; error: string }
  | { event: 'user_registered'; user_id: string }
  | { event: 'user_deactivated'; user_id: string }
  | { event: 'reported'; reporter: string; about: string }
  | { event: 'member_update_failed'; room_id: string; error: string }
  | { event: 'login_failed'; user_id: string }
  | { event: 'sso_login'; user_id: string; provider: string; purpose: 'login' | 'interactive-auth' }
  | { event: 'sso_linked'; user_id: string; provider: string }
  | { event: 'sso_refused'; reason: string; detail?: string }
  | { event: 'browser_signed_in'; user_id: string }
  | { event: 'login_handed_over'; user_id: string }
  | { event: 'oauth_allowed'; user_id: string; client_id: string }
  | { event: 'oauth_code_replayed'; user_id: string; client_id: string }
  | { event: 'oauth_session'; user_id: string; client_id: string; device_id: string }
  | { event: 'oauth_refresh_token_reused'; user_id: string; device_id: string }
  | { event: 'oauth_revoked'; user_id: string; device_id: string }
  | { event: 'cross_signing_reset_allowed'; user_id: string }
  | { event: 'push_failed'; gateway: string; failures: number; error: string }
  | { event: 'push_not_made'; gateway: string; error: string }
  | { event: 'captcha_not_verified'; error: string }
  | { event: 'mail_failed'; transport: string; error: string }
  | { event: 'remote_media_failed'; server: string; media_id: string; error: string }
  | { event: 'remote_media_not_trimmed'; error: string }
  | { event: 'thumbnail_not_kept'; media_id: string; error: string }
  | { event: 'url_preview_not_kept'; error: string }
  | { event: 'appservice_answer_refused'; appservice: string; path: string; error: string }
  | { event: 'appservice_failed'; appservice: string; txn_id: string; failures: number; error: string }
  | { event: 'appservice_back'; appservice: string }
  | { event: 'appservice_not_served'; appservice: string; error: string }
  | { event: 'appservice_not_told'; appservice: string; room_id?: string; error: string }

/** Writes one line. */
export function log(entry: LogEvent): void {
  console.log(JSON.stringify({ time: new Date().toISOString(), ...entry }))
}

// What drizzle says of a query that failed: behind it stand the values of its parameters, hashes and secrets among them.
const failedQuery = /^(Failed query: [^]*?)\nparams: /

/** The message of something caught, for a log line. A query that failed is named without the values in it. */
export function errorMessage(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  const [, query] = failedQuery.exec(text) ?? []
  if (query === undefined) return text
  const cause = error instanceof Error ? error.cause : undefined
  return cause === undefined ? query : `${query}: ${errorMessage(cause)}`
}

/** Where something was thrown, for a log line; with its message as `errorMessage` has it. */
export function errorStack({ message, stack }: Error): string | undefined {
  return stack?.replace(message, () => errorMessage(new Error(message)))
}
