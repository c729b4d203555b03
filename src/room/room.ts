// The Room: one Durable Object a room, the only writer of it and the source of truth for it.
// The road of an event: `send-event.ts` (local) or `receive-pdu.ts` (remote) → `append.ts`, the only place that
// inserts → `fan-out.ts`, which tells the Hub shards before the client gets its answer.
// The class is only the RPC surface: every method hands over to a function of the file that has its name.

import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../env.ts'
import type { InviteDetails } from '../identity/store-invite.ts'
import type { EventId, RoomAlias, RoomId, ServerName, UserId } from '../matrix/event.ts'
import type { InviteKey } from '../matrix/event-auth/third-party-invite.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { RoomVersionId } from '../matrix/room-version.ts'
import { forgetAliases, interestsAppservice } from './appservice-interest.ts'
import { onAlarm } from './alarm.ts'
import type { EventDraft } from './build-event.ts'
import type { Viewer } from './client-event.ts'
import { ensureSigner, findIdentity, openRoom, type RoomContext } from './context.ts'
import { createRoom, type CreateRoomRequest } from './create-room.ts'
import { registerLocalUser, tellHubs } from './fan-out.ts'
import { type AcrossGap, receiveAcrossGap } from './across-gap.ts'
import { backFill, receiveHistory } from './back-fill.ts'
import { isResident, requireResident } from './federation-access.ts'
import { acceptInvite, buildInvite, type BuildInviteRequest } from './invite-elsewhere.ts'
import { abandonJoin, beginJoin, type CompleteJoin, completeJoin } from './join-staging.ts'
import { type StagedEvents, stageEvents } from './stage-events.ts'
import { joinedServers } from './joined-servers.ts'
import { receiveOutliers } from './outliers.ts'
import { type DueEvents, dueEvents, retryPending, settleDue, type TriedEvent } from './pending-pdus.ts'
import { joinedUsersOf, receiveFrom, type SentReceipt } from './receive-from.ts'
import {
  missingEvents,
  parentsWithoutState,
  receivePdu,
  type Receipt,
  type ServerKeySet,
} from './receive-pdu.ts'
import {
  countDelayed,
  delayedEventsOf,
  type DelayRequest,
  readDelayed,
  scheduleDelayed,
} from './delayed-events.ts'
import { describeRoom, type RoomDescription } from './describe-room.ts'
import {
  type BackfillRequest,
  backfillFor,
  eventForServer,
  eventNearFor,
  missingEventsFor,
  type MissingEventsRequest,
} from './federation-history.ts'
import { receiveInvite, type ReceiveInviteRequest } from './federation-invite.ts'
import {
  type SendJoinAnswer,
  sendJoin,
  type SendJoinRequest,
  sendKnock,
  serversInRoom,
} from './federation-join.ts'
import { tellEventIndex } from './event-index.ts'
import { type MakeAnswer, makeMembership, type MakeRequest } from './federation-make.ts'
import { eventTemplate, pduText } from './federation-read.ts'
import { receiveMembership, type SendMembershipRequest } from './federation-send.ts'
import { eventAuthChain, type JsonStream, stateBeforeEvent, stateIdsBeforeEvent } from './federation-state.ts'
import { type KnownMembership, knownMembership } from './known-membership.ts'
import { type ContextRequest, contextEvents } from './context-events.ts'
import { eventByTimestamp, type TimestampAnswer, type TimestampRequest } from './event-by-timestamp.ts'
import { joinedMembers, members, type MembersRequest } from './members.ts'
import { messages, type MessagesRequest } from './messages.ts'
import { notifiedEvents, type NotifiedEventText } from './notified-events.ts'
import type { ReadAnswer } from './read-answer.ts'
import { readEvent } from './read-event.ts'
import { roomEvents, type RoomEventsRequest } from './room-events.ts'
import { readState, readStateEvent, type StateEventRequest } from './read-state.ts'
import {
  changeDelayed,
  type DelayedAction,
  dueForPolicyServer,
  refuseDelayed,
  sendDueEvents,
} from './send-delayed.ts'
import { type ClientSendRequest, sendFromClient } from './client-send.ts'
import { tellIndex, tellIndexIfPublished } from './index-room.ts'
import { newestFor, pduTexts } from './sender-read.ts'
import { tellAppservices } from './tell-appservices.ts'
import { tellSender } from './tell-sender.ts'
import {
  changeMembership,
  type MembershipAnswer,
  type MembershipRequest,
  type ProfileUpdate,
  updateMemberProfile,
} from './membership.ts'
import { sendOwnEvents } from './own-events.ts'
import { placeApart } from './place-apart.ts'
import { type PolicyAnswer, policyAnswered } from './policy-server.ts'
import { publish, type PublishRequest } from './publish.ts'
import { localMembers } from './restricted-join.ts'
import { type AliasStanding, aliasStanding, withdrawAliases } from './room-aliases.ts'
import { hasServer, type SummaryAnswer, summaryFor, type SummaryRequest } from './summary-for.ts'
import { type ResultsRequest, type RoomResults, searchResults } from './search-results.ts'
import { type RoomMatches, type RoomSearch, searchRoom } from './search-room.ts'
import { listThreads, type ThreadsRequest } from './list-threads.ts'
import { readRelations, type RelationsRequest } from './read-relations.ts'
import { isEventInThread, type ThreadQuery } from './thread-of.ts'
import { threadStanding, type ThreadStanding, type ThreadStandingRequest } from './thread-standing.ts'
import { retire, type RetireRequest, upgradePlan, type UpgradeRequest } from './upgrade.ts'
import { keysOfThirdPartyInvite, thirdPartyInviteDetails } from './store-third-party-invite.ts'
import { type RoomSlidingRequest, slidingSyncRoom } from './sliding-sync-room.ts'
import { type RoomSyncRequest, syncRoom } from './sync-room.ts'

export class Room extends DurableObject<Env> {
  readonly #room: RoomContext

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    this.#room = openRoom(ctx, env)
  }

  override alarm(): Promise<void> {
    return onAlarm(this.#room)
  }

  async createRoom(request: CreateRoomRequest): Promise<InviteDetails> {
    const details = createRoom(this.#room, await ensureSigner(this.#room), request)
    await Promise.all([tellHubs(this.#room), tellIndex(this.#room)])
    this.ctx.waitUntil(tellAppservices(this.#room))
    return details
  }

  thirdPartyInviteDetails(sender: UserId): InviteDetails {
    return thirdPartyInviteDetails(this.#room, sender)
  }

  keysOfThirdPartyInvite(target: UserId, signed: JsonObject): InviteKey[] {
    return keysOfThirdPartyInvite(this.#room, target, signed)
  }

  /** Receives PDUs in the given order. Hand in parents before children. */
  async receivePdus(pdus: readonly JsonObject[], keys: ServerKeySet): Promise<Receipt[]> {
    const receipts = pdus.map((pdu) => receivePdu(this.#room, pdu, keys))
    await this.#tell()
    return receipts
  }

  /** Receives PDUs that another server sent. */
  async receiveFrom(
    origin: ServerName,
    pdus: readonly JsonObject[],
    keys: ServerKeySet,
  ): Promise<SentReceipt[]> {
    const receipts = receiveFrom(this.#room, origin, pdus, keys)
    await this.#tell()
    return receipts
  }

  joinedUsersOf(origin: ServerName, userIds: readonly UserId[]): UserId[] {
    return joinedUsersOf(this.#room, origin, userIds)
  }

  /** The servers that have a user in the room, this one among them. */
  joinedServerNames(): ServerName[] {
    return [...joinedServers(this.#room).keys()]
  }

  /** Events that wait for others, to be fetched now. */
  dueEvents(): DueEvents | undefined {
    return dueEvents(this.#room)
  }

  /** Judges those of the events that have what they lacked, and puts the others off or gives them up. */
  async settleDue(tried: readonly TriedEvent[], answered: boolean): Promise<void> {
    settleDue(this.#room, tried, answered)
    await this.#tell()
  }

  /** Takes in what the room's policy server has answered about an event. */
  policyAnswered(eventId: EventId, answer: PolicyAnswer): void {
    policyAnswered(this.#room, eventId, answer)
  }

  unknownEvents(ids: readonly EventId[]): EventId[] {
    return missingEvents(this.#room, ids)
  }

  /** Those of an event's parents whose state is not known here. */
  parentsWithoutState(pdu: JsonObject): EventId[] {
    return parentsWithoutState(this.#room, pdu)
  }

  /** Receives events known only as auth events or as state, in any order. */
  receiveOutliers(pdus: readonly JsonObject[], keys: ServerKeySet): Receipt[] {
    return receiveOutliers(this.#room, pdus, keys)
  }

  /** Receives an event with missing parents on a given state. */
  async receiveAcrossGap(request: AcrossGap): Promise<Receipt> {
    const receipt = receiveAcrossGap(this.#room, request)
    await this.#tell()
    return receipt
  }

  /** Receives older events, in any order, for `backFill`. */
  receiveHistory(pdus: readonly JsonObject[], keys: ServerKeySet): Receipt[] {
    return receiveHistory(this.#room, pdus, keys)
  }

  /** Puts older events into the hole below a gap. Returns how many found their place. */
  backFill(gapPosition: number): number {
    return backFill(this.#room, gapPosition)
  }

  /** Gives an event of long ago a place of its own below a gap. Whether it has one. */
  placeApart(gapPosition: number, eventId: EventId): boolean {
    return placeApart(this.#room, gapPosition, eventId)
  }

  beginJoin(roomId: RoomId, version: RoomVersionId): void {
    beginJoin(this.#room, roomId, version)
  }

  /** Takes a part of the state of a room that is being joined. */
  stageEvents(texts: readonly string[], keys: ServerKeySet): StagedEvents {
    return stageEvents(this.#room, texts, keys)
  }

  abandonJoin(): Promise<void> {
    return abandonJoin(this.#room)
  }

  async completeJoin(request: CompleteJoin): Promise<EventId> {
    const eventId = completeJoin(this.#room, request)
    // What was sent while the room was joined.
    retryPending(this.#room)
    await this.#tell()
    await tellIndex(this.#room)
    return eventId
  }

  describe(): RoomDescription {
    return describeRoom(this.#room)
  }

  /** An accepted event in wire form as JSON text. */
  pduText(eventId: string): string {
    return pduText(this.#room, eventId)
  }

  /** Events in wire form as JSON texts, null for those that are not here. */
  pduTexts(eventIds: readonly string[]): (string | null)[] {
    return pduTexts(this.#room, eventIds)
  }

  /** The newest events for a server that has missed those from a position on, as JSON texts. */
  newestFor(serverName: ServerName, from: number): string[] {
    return newestFor(this.#room, serverName, from)
  }

  /** Whether this server is in the room. */
  isResident(): boolean {
    return isResident(this.#room)
  }

  registerLocalUser(userId: UserId, shard: number): void {
    registerLocalUser(this.#room, userId, shard)
  }

  /** A template for an event of a user of another server, as JSON text. */
  eventTemplate(draft: EventDraft): string {
    return eventTemplate(this.#room, draft)
  }

  // What other servers ask for. `origin` is the asking server, authenticated by the Worker.

  eventForServer(origin: ServerName, eventId: string): string {
    return eventForServer(this.#room, origin, eventId)
  }

  stateBeforeEvent(origin: ServerName, eventId: string): JsonStream {
    return stateBeforeEvent(this.#room, origin, eventId)
  }

  stateIdsBeforeEvent(origin: ServerName, eventId: string): Promise<JsonStream> {
    return this.#askable(stateIdsBeforeEvent(this.#room, origin, eventId))
  }

  eventAuthChain(origin: ServerName, eventId: string): JsonStream {
    return eventAuthChain(this.#room, origin, eventId)
  }

  backfillFor(origin: ServerName, request: BackfillRequest): Promise<string> {
    return this.#askable(backfillFor(this.#room, origin, request))
  }

  missingEventsFor(origin: ServerName, request: MissingEventsRequest): Promise<string> {
    return this.#askable(missingEventsFor(this.#room, origin, request))
  }

  eventNearFor(origin: ServerName, request: TimestampRequest): string {
    return eventNearFor(this.#room, origin, request)
  }

  serversInRoom(limit: number): ServerName[] {
    return serversInRoom(this.#room, limit)
  }

  readRelations(viewer: Viewer, request: RelationsRequest): ReadAnswer {
    return readRelations(this.#room, viewer, request)
  }

  searchRoom(viewer: Viewer, search: RoomSearch): RoomMatches {
    return searchRoom(this.#room, viewer, search)
  }

  searchResults(viewer: Viewer, request: ResultsRequest): RoomResults {
    return searchResults(this.#room, viewer, request)
  }

  listThreads(viewer: Viewer, request: ThreadsRequest): ReadAnswer {
    return listThreads(this.#room, viewer, request)
  }

  /** The summary of the room for a user, another server or anyone. */
  summaryFor(request: SummaryRequest): SummaryAnswer {
    return summaryFor(this.#room, request)
  }

  hasServer(serverName: ServerName): boolean {
    return hasServer(this.#room, serverName)
  }

  /** A user's membership; `unknown` where this server is not in the room. */
  knownMembership(userId: UserId): KnownMembership {
    return knownMembership(this.#room, userId)
  }

  /** Refuses a server that the room's ACL shuts out, and to help where this server is not in the room. */
  requireAllowed(origin: ServerName): void {
    requireResident(this.#room, origin)
  }

  makeMembership(request: MakeRequest): MakeAnswer {
    return makeMembership(this.#room, request)
  }

  async sendJoin(request: SendJoinRequest): Promise<SendJoinAnswer> {
    const answer = sendJoin(this.#room, await ensureSigner(this.#room), request)
    await this.#tell()
    return await this.#askable(answer)
  }

  async sendLeave(request: SendMembershipRequest): Promise<void> {
    receiveMembership(this.#room, await ensureSigner(this.#room), request)
    await this.#tell()
  }

  /** The body of the answer as JSON text. */
  async sendKnock(request: SendMembershipRequest): Promise<string> {
    const answer = sendKnock(this.#room, await ensureSigner(this.#room), request)
    await this.#tell()
    return answer
  }

  /** The countersigned invite as JSON text; undefined where this server is not in the room. */
  async receiveInvite(request: ReceiveInviteRequest): Promise<string | undefined> {
    const answer = receiveInvite(this.#room, await ensureSigner(this.#room), request)
    if (answer !== undefined) await this.#tell()
    return answer
  }

  notifiedEvents(viewer: Viewer, eventIds: readonly EventId[]): NotifiedEventText[] {
    return notifiedEvents(this.#room, viewer, eventIds)
  }

  /** The room's part of a /sync answer as JSON text. */
  syncRoom(request: RoomSyncRequest): string {
    return syncRoom(this.#room, request)
  }

  /** The room's part of an answer of sliding sync as JSON text. */
  slidingSyncRoom(request: RoomSlidingRequest): string {
    return slidingSyncRoom(this.#room, request)
  }

  // Writing, on behalf of local users.

  async sendEvent(request: ClientSendRequest): Promise<EventId> {
    const eventId = sendFromClient(this.#room, await ensureSigner(this.#room), request)
    await this.#tell()
    return eventId
  }

  /** Schedules an event to be sent later. Returns its delay id. */
  scheduleDelayed(request: DelayRequest): string {
    return scheduleDelayed(this.#room, request)
  }

  /** The events that a user has scheduled, each as JSON text. */
  async delayedEventsOf(sender: UserId): Promise<string[]> {
    if (await sendDueEvents(this.#room)) await this.#tell()
    return delayedEventsOf(this.#room, sender)
  }

  countDelayed(sender: UserId): number {
    return countDelayed(this.#room, sender)
  }

  /** A delayed event of a user as JSON text. */
  readDelayed(sender: UserId, delayId: string): string {
    return readDelayed(this.#room, sender, delayId)
  }

  async changeDelayed(delayId: string, action: DelayedAction): Promise<void> {
    if (await changeDelayed(this.#room, delayId, action)) await this.#tell()
  }

  /** The ids of due events that the policy server of the room has to be asked about. */
  dueForPolicyServer(): string[] {
    return dueForPolicyServer(this.#room)
  }

  refuseDelayed(delayId: string, error: JsonObject): void {
    refuseDelayed(this.#room, delayId, error)
  }

  /** Sends what the room sends of its own accord, as far as it is due. */
  async sendOwnEvents(): Promise<void> {
    if (await sendOwnEvents(this.#room)) await this.#tell()
  }

  async changeMembership(request: MembershipRequest): Promise<MembershipAnswer> {
    const answer = changeMembership(this.#room, await ensureSigner(this.#room), request)
    await this.#tell()
    return answer
  }

  /** A `BuiltInvite` as JSON text. */
  async buildInvite(request: BuildInviteRequest): Promise<string> {
    return JSON.stringify(buildInvite(this.#room, await ensureSigner(this.#room), request))
  }

  /** Takes in an invite that `buildInvite` made and the other server has signed. */
  async acceptInvite(pdu: JsonObject, keys: ServerKeySet): Promise<EventId> {
    const eventId = acceptInvite(this.#room, await ensureSigner(this.#room), pdu, keys)
    await this.#tell()
    return eventId
  }

  /** Leaves the room. Answers also those who have left before. */
  async leave({ sender }: { readonly sender: UserId }): Promise<void> {
    await this.changeMembership({ action: 'leave', sender, target: sender, content: {} })
  }

  async updateMemberProfile(update: ProfileUpdate): Promise<void> {
    updateMemberProfile(this.#room, await ensureSigner(this.#room), update)
    await this.#tell()
  }

  /** The joined users of this server. */
  localMembers(): UserId[] {
    return [...localMembers(this.#room)]
  }

  /** Whether an application service is interested in what happens here. */
  interestsAppservice(id: string): Promise<boolean> {
    return interestsAppservice(this.#room, id)
  }

  /** Aliases that lead here have come or gone. */
  aliasesChanged(): void {
    forgetAliases(this.#room)
  }

  aliasStanding(userId: UserId): AliasStanding {
    return aliasStanding(this.#room, userId)
  }

  async withdrawAliases(request: {
    readonly sender: UserId
    readonly aliases: readonly RoomAlias[]
  }): Promise<void> {
    forgetAliases(this.#room)
    withdrawAliases(this.#room, await ensureSigner(this.#room), request)
    await this.#tell()
  }

  /** Publishes the room in the directory or withdraws it; the directory knows when this resolves. */
  async publish(request: PublishRequest): Promise<void> {
    publish(this.#room, request)
    await tellIndex(this.#room)
  }

  /** An `UpgradePlan` as JSON text. */
  upgradePlan(request: UpgradeRequest): string {
    return JSON.stringify(upgradePlan(this.#room, request))
  }

  async retire(request: RetireRequest): Promise<void> {
    forgetAliases(this.#room)
    retire(this.#room, await ensureSigner(this.#room), request)
    await this.#tell()
    await tellIndex(this.#room)
  }

  isEventInThread(query: ThreadQuery): boolean {
    return isEventInThread(this.#room, query)
  }

  threadStanding(request: ThreadStandingRequest): ThreadStanding {
    return threadStanding(this.#room, request)
  }

  // An answer that names events to another server, which may ask for each of them by its id alone from then on.
  async #askable<T>(answer: T): Promise<T> {
    await tellEventIndex(this.#room)
    return answer
  }

  async #tell(): Promise<void> {
    if (!findIdentity(this.#room)) return
    await Promise.all([tellHubs(this.#room), tellIndexIfPublished(this.#room)])
    // The client need not wait for that.
    this.ctx.waitUntil(Promise.all([tellSender(this.#room), tellAppservices(this.#room)]))
  }

  // Reading, as the client-server API answers it.

  messages(viewer: Viewer, request: MessagesRequest): ReadAnswer {
    return messages(this.#room, viewer, request)
  }

  roomEvents(viewer: Viewer, request: RoomEventsRequest): ReadAnswer & { readonly body: string } {
    return roomEvents(this.#room, viewer, request)
  }

  contextEvents(viewer: Viewer, request: ContextRequest): ReadAnswer {
    return contextEvents(this.#room, viewer, request)
  }

  readEvent(viewer: Viewer, eventId: string): ReadAnswer {
    return readEvent(this.#room, viewer, eventId)
  }

  eventByTimestamp(userId: UserId, request: TimestampRequest): TimestampAnswer {
    return eventByTimestamp(this.#room, userId, request)
  }

  readState(viewer: Viewer): ReadAnswer {
    return readState(this.#room, viewer)
  }

  readStateEvent(viewer: Viewer, request: StateEventRequest): ReadAnswer {
    return readStateEvent(this.#room, viewer, request)
  }

  members(viewer: Viewer, request: MembersRequest): ReadAnswer {
    return members(this.#room, viewer, request)
  }

  joinedMembers(viewer: Viewer): ReadAnswer {
    return joinedMembers(this.#room, viewer)
  }
}
