// Where the documents are wrong, or say less than the text of the specification, each with the reason.

export interface Slip {
  /** Method and path as the documents have them. */
  readonly operations: readonly string[]
  /** `answer 200`, `request body`, `query`, `path` … */
  readonly part: string
  /** JSON pointer; `*` stands for any step. */
  readonly pointer: string
  /** Keyword that is not met; with `required`, the field after a space. */
  readonly rule: string
  readonly reason: string
}

const client = '/_matrix/client/v3'
const federation = '/_matrix/federation'

// Places where documents want a field that is gone.
function origin(part: string, pointer: string, operations: readonly string[]): Slip {
  const reason =
    'Events have no `origin` since v1.3 of the specification; the documents of the handshakes kept it.'
  return { operations, part, pointer, rule: 'required origin', reason }
}

const legacyInvite = {
  operations: [`GET ${client}/initialSync`, `GET ${client}/events`],
  part: 'answer 200',
  reason: 'An invited user is shown stripped state, which has neither; both endpoints are deprecated.',
}

export const slips: readonly Slip[] = [
  {
    operations: [`PUT ${client}/profile/{userId}/{keyName}`],
    part: 'path',
    pointer: '/keyName',
    rule: 'pattern',
    reason: 'The pattern has no `-`, which the grammar that the text names for custom fields allows.',
  },
  origin('answer 200', '/event', [
    `GET ${federation}/v1/make_join/{roomId}/{userId}`,
    `GET ${federation}/v1/make_knock/{roomId}/{userId}`,
    `GET ${federation}/v1/make_leave/{roomId}/{userId}`,
    `PUT ${federation}/v2/invite/{roomId}/{eventId}`,
  ]),
  origin('answer 200', '/1/event', [`PUT ${federation}/v1/invite/{roomId}/{eventId}`]),
  ...['anyOf', 'type'].map((rule) => ({
    operations: [`PUT ${federation}/v1/invite/{roomId}/{eventId}`],
    part: 'answer 200',
    pointer: '/1',
    rule,
    reason: 'The same field is why the second of the two is no alternative of the document’s list.',
  })),
  origin('request body', '', [
    `PUT ${federation}/v1/invite/{roomId}/{eventId}`,
    `PUT ${federation}/v2/send_join/{roomId}/{eventId}`,
    `PUT ${federation}/v1/send_knock/{roomId}/{eventId}`,
    `PUT ${federation}/v2/send_leave/{roomId}/{eventId}`,
  ]),
  origin('request body', '/event', [`PUT ${federation}/v2/invite/{roomId}/{eventId}`]),
  {
    operations: [`GET ${client}/rooms/{roomId}/state/{eventType}/{stateKey}`],
    part: 'answer 200',
    pointer: '',
    rule: 'oneOf',
    reason: 'A whole event, asked for with `format=event`, is an object as well: it fits both alternatives.',
  },
  ...['/rooms/*/invite', '/chunk/*'].flatMap((pointer) =>
    ['event_id', 'origin_server_ts'].map((field) => ({
      ...legacyInvite,
      pointer,
      rule: `required ${field}`,
    })),
  ),
  {
    operations: [`POST ${client}/keys/signatures/upload`],
    part: 'request body',
    pointer: '/*/*',
    rule: 'type',
    reason: 'A key that is no object fails alone, among the failures of an answer with status 200.',
  },
  ...['display_name', 'avatar_url'].map((field) => ({
    operations: [`GET ${client}/rooms/{roomId}/joined_members`],
    part: 'answer 200',
    pointer: `/joined/*/${field}`,
    rule: 'type',
    reason:
      'Null where there is none, as everywhere else: Complement’s TestRoomState wants both fields of every member.',
  })),
  ...['username', 'password', 'uris', 'ttl'].map((field) => ({
    operations: [`GET ${client}/voip/turnServer`],
    part: 'answer 200',
    pointer: '',
    rule: `required ${field}`,
    reason:
      'Without a TURN server there is nothing to give. Clients take an empty object for that, and fail at an empty list.',
  })),
  {
    operations: [`PUT ${federation}/v2/invite/{roomId}/{eventId}`],
    part: 'request body',
    pointer: '/invite_room_state/*',
    rule: 'type',
    reason:
      'Before room version 12 the text lets servers take an invite whose stripped state is not as it should be.',
  },
  {
    operations: [`PUT ${federation}/v1/send/{txnId}`],
    part: 'request body',
    pointer: '/pdus/*',
    rule: 'type',
    reason: 'A PDU that is wrong does not make the transaction fail that it came in.',
  },
  {
    operations: [`POST ${client}/login`],
    part: 'request body',
    pointer: '/identifier',
    rule: 'required type',
    reason: 'The text’s own example of a login with an address has no type in its identifier.',
  },
  {
    operations: ['GET /_matrix/client/versions'],
    part: 'answer 500',
    pointer: '',
    rule: 'status',
    reason: 'A server with settings that make no sense does not start, and says so to whoever asks anything.',
  },
  {
    operations: [`GET ${client}/login/sso/redirect`],
    part: 'answer 200',
    pointer: '',
    rule: 'status',
    reason:
      'The description lets the server present a page to choose from where there are several identity providers.',
  },
  {
    operations: [`GET ${client}/login/sso/redirect`, `GET ${client}/login/sso/redirect/{idpId}`],
    part: 'answer 502',
    pointer: '',
    rule: 'status',
    reason:
      'The identity provider, which has to be asked, cannot be reached: no document says what is answered.',
  },
  ...['400', '404', '502'].map((status) => ({
    operations: [`GET ${client}/login/sso/redirect`, `GET ${client}/login/sso/redirect/{idpId}`],
    part: `answer ${status}`,
    pointer: '',
    rule: 'content type',
    reason:
      'People see what these answer, in their browsers: a page, as the description of status 404 wants it.',
  })),
  {
    operations: [`POST ${client}/rooms/{roomId}/invite`],
    part: 'request body',
    pointer: '',
    rule: 'required user_id',
    reason: 'The form that names an address instead has a document of its own.',
  },
  ...['answer 502', 'answer 504'].map((part) => ({
    operations: [
      `POST ${client}/account/3pid`,
      `POST ${client}/account/3pid/bind`,
      `POST ${client}/account/3pid/unbind`,
      `POST ${client}/createRoom`,
      `POST ${client}/join/{roomIdOrAlias}`,
      `POST ${client}/knock/{roomIdOrAlias}`,
      `POST ${client}/rooms/{roomId}/invite`,
      `POST ${client}/rooms/{roomId}/join`,
      `GET ${client}/profile/{userId}`,
      `GET ${client}/publicRooms`,
      `GET ${client}/directory/room/{roomAlias}`,
      `PUT ${federation}/v1/3pid/onbind`,
      `PUT ${federation}/v1/exchange_third_party_invite/{roomId}`,
      // The policy server of the room.
      `PUT ${client}/rooms/{roomId}/send/{eventType}/{txnId}`,
    ],
    part,
    pointer: '',
    rule: 'status',
    reason:
      'No document says what is answered when another server, which has to be asked, cannot be reached.',
  })),
]

// Proposals that give an operation another answer than its document.
const proposals = ['org.matrix.msc4140.delay']

/** Whether a request makes use of a proposal, so that its answer is not the documented one. */
export function isOfProposal(target: string): boolean {
  const { searchParams } = new URL(target, 'http://localhost')
  return proposals.some((name) => searchParams.has(name))
}

/** The slip that a violation is, if it is one. */
export function slipOf(violation: {
  readonly operation: string
  readonly part: string
  readonly pointer: string
  readonly rule: string
}): Slip | undefined {
  return slips.find(
    (slip) =>
      slip.operations.includes(violation.operation) &&
      slip.part === violation.part &&
      slip.rule === violation.rule &&
      pattern(slip.pointer).test(violation.pointer),
  )
}

const patterns = new Map<string, RegExp>()

function pattern(text: string): RegExp {
  const known = patterns.get(text)
  if (known) return known
  const source = text
    .split('*')
    .map((piece) => piece.replaceAll(/[.$^(){}[\]|+?\\]/g, String.raw`\$&`))
    .join('[^/]*')
  const made = new RegExp(`^${source}$`)
  patterns.set(text, made)
  return made
}

const noPhones = 'This server keeps no phone numbers.'

/** Operations that never succeed here, each with the reason. */
export const alwaysRefused: Readonly<Record<string, string>> = {
  [`POST ${client}/account/3pid/msisdn/requestToken`]: noPhones,
  [`POST ${client}/account/password/msisdn/requestToken`]: noPhones,
  [`POST ${client}/register/msisdn/requestToken`]: noPhones,
  [`GET ${federation}/v1/query/{queryType}`]:
    'There are no other kinds of queries than those with paths of their own.',
}
