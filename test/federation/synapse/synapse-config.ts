// Synapse's configuration for tests: SQLite, no limits, loopback allowed, an authority of our own.

export interface SynapseOptions {
  readonly serverName: string
  /** Where it keeps everything. */
  readonly folder: string
  readonly clients: { readonly address: string; readonly port: number }
  readonly federation: { readonly address: string; readonly port: number }
  /** Paths of files in PEM. */
  readonly tls: { readonly key: string; readonly cert: string; readonly ca: string }
  readonly defaultRoomVersion: string
  /** Serves media also to those who do not say who they are. */
  readonly unauthenticatedMedia?: boolean
  /** Paths of registrations of application services. */
  readonly applicationServices?: readonly string[]
}

const unlimited = { per_second: 9_999, burst_count: 9_999 }

const rateLimits = {
  rc_message: unlimited,
  rc_registration: unlimited,
  rc_registration_token_validity: unlimited,
  rc_login: { address: unlimited, account: unlimited, failed_attempts: unlimited },
  rc_admin_redaction: unlimited,
  rc_joins: { local: unlimited, remote: unlimited },
  rc_joins_per_room: unlimited,
  rc_3pid_validation: unlimited,
  rc_third_party_invite: unlimited,
  rc_media_create: unlimited,

  rc_reports: unlimited,
  rc_profile: unlimited,
  rc_delayed_event_mgmt: unlimited,
  rc_invites: { per_room: unlimited, per_user: unlimited, per_issuer: unlimited },
  rc_room_creation: unlimited,
  rc_key_requests: unlimited,
  rc_presence: { per_user: unlimited },
  rc_user_directory: unlimited,
  rc_federation: {
    window_size: 1000,
    sleep_limit: 9_999,
    sleep_delay: 0,
    reject_limit: 9_999,
    concurrent: 100,
  },
  federation_rr_transactions_per_room_per_second: 9_999,
}

/** The file's content: JSON, which is YAML too. */
export function synapseConfig(options: SynapseOptions): string {
  const { serverName, folder, clients, federation, tls } = options
  const listener = ({ address, port }: SynapseOptions['clients'], names: string[], encrypted: boolean) => ({
    port,
    bind_addresses: [address],
    type: 'http',
    tls: encrypted,
    x_forwarded: false,
    resources: [{ names }],
  })
  return JSON.stringify(
    {
      server_name: serverName,
      public_baseurl: `http://${clients.address}:${clients.port}/`,
      report_stats: false,
      pid_file: `${folder}/synapse.pid`,
      log_config: `${folder}/log.yaml`,
      signing_key_path: `${folder}/signing.key`,
      enable_authenticated_media: options.unauthenticatedMedia !== true,
      media_store_path: `${folder}/media`,
      database: { name: 'sqlite3', args: { database: `${folder}/homeserver.db` } },
      listeners: [
        listener(clients, ['client', 'federation'], false),
        listener(federation, ['federation', 'media', 'keys'], true),
      ],
      tls_certificate_path: tls.cert,
      tls_private_key_path: tls.key,
      federation_custom_ca_list: [tls.ca],
      ip_range_blacklist: [],
      url_preview_enabled: false,
      trusted_key_servers: [],
      suppress_key_server_warning: true,
      default_room_version: options.defaultRoomVersion,
      enable_registration: true,
      enable_registration_without_verification: true,
      registration_shared_secret: 'complement',
      bcrypt_rounds: 4,
      allow_public_rooms_over_federation: true,
      allow_public_rooms_without_auth: true,
      allow_profile_lookup_over_federation: true,
      room_list_publication_rules: [{ action: 'allow' }],
      enable_room_list_search: true,
      app_service_config_files: options.applicationServices ?? [],
      // It answers the same sync twice otherwise, whatever has happened since.
      caches: { sync_response_cache_duration: 0 },
      // It leaves a server that does not answer alone for ten minutes otherwise.
      federation: {
        destination_min_retry_interval: '1s',
        destination_max_retry_interval: '2s',
        destination_retry_multiplier: 1,
        client_timeout: '20s',
        max_short_retries: 1,
        max_long_retries: 1,
        max_long_retry_delay: '1s',
      },
      ...rateLimits,
    },
    null,
    2,
  )
}

/** The content of its log configuration: everything of interest to the standard error. */
export function synapseLogConfig(level: 'INFO' | 'DEBUG' = 'INFO'): string {
  return JSON.stringify({
    version: 1,
    formatters: { line: { format: '%(asctime)s %(levelname)s %(name)s %(request)s %(message)s' } },
    filters: { context: { '()': 'synapse.logging.context.LoggingContextFilter', request: '' } },
    handlers: { err: { class: 'logging.StreamHandler', formatter: 'line', filters: ['context'] } },
    root: { level, handlers: ['err'] },
    // Its statements with what is in them.
    loggers: { 'synapse.storage.SQL': { level: 'INFO' } },
    disable_existing_loggers: false,
  })
}
