// The Hub: a shard of local users. It owns their sync log, memberships, devices, account data, unread counts and
// typing; what a room tells it comes in through `inbox.ts`, what a client is told goes out through `sync.ts`.
// The class is only the RPC surface: every method hands over to a function of the file that has its name.

import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../env.ts'
import type { RoomId, UserId } from '../matrix/event.ts'
import type { InvitePermission } from '../matrix/invite-permission.ts'
import type { PushRuleFailure } from '../matrix/push-rules/ruleset.ts'
import type { PusherSettings } from '../push/context.ts'
import { migrate } from '../storage/durable-migrations.ts'
import {
  type AccountData,
  eraseAccountData,
  getAccountData,
  globalRid,
  ignoredUsers,
  putAccountData,
  putTag,
} from './account-data.ts'
import { keysAreTold } from './announce-keys.ts'
import { deviceListChanged } from './change-device-list.ts'
import { roomAccountData, type RoomAccountData } from './room-account-data.ts'
import { openHub, type HubContext } from './context.ts'
import {
  dehydratedDevice,
  type DehydratedDevice,
  dehydratedEvents,
  type DehydratedEvents,
  type DehydratedUpload,
  putDehydratedDevice,
} from './dehydrated-device.ts'
import { type DelayedRoom, delayedRooms, forgetDelayedRooms, noteDelayedRoom } from './delayed-rooms.ts'
import type { DeviceLists } from './device-lists.ts'
import {
  type Device,
  deviceGeneration,
  type DeviceSelection,
  getDevice,
  type GoneDevice,
  listDevices,
  type NewDevice,
} from './devices.ts'
import { getFilter, storeFilter } from './filters.ts'
import { keyChanges } from './key-changes.ts'
import { queueRoomNews, roomPositionAt } from './inbox.ts'
import { findRoom, findUser, internRoom, internUser } from './interned.ts'
import {
  createKeyBackup,
  deleteBackedUpKeys,
  deleteKeyBackup,
  eraseKeyBackups,
  getKeyBackup,
  type KeyBackupVersion,
  type KeyBackupWrite,
  type KeySelection,
  type PlacedKey,
  putBackedUpKeys,
  readBackedUpKeys,
  updateKeyBackup,
} from './key-backup.ts'
import { keyBackupData, streamBackedUpKeys } from './key-backup-stream.ts'
import { actAsDevice, addDevice, giveName, removeDevices } from './manage-devices.ts'
import { deviceSeen } from './last-seen.ts'
import { invitePermissionOf } from './invite-permission.ts'
import { setLocked } from './locked-users.ts'
import { mutualRooms } from './mutual-rooms.ts'
import { loginFailed, type LoginStanding, loginStanding, loginSucceeded } from './login-lockout.ts'
import {
  forgetRoom,
  joinedRooms,
  joinedToAny,
  membershipsIn,
  requireJoined,
  roomsOf,
  type Standing,
  standingIn,
} from './members.ts'
import { applyOtherPresence } from './apply-other-presence.ts'
import { lookAfterPresence } from './look-after-presence.ts'
import { otherPresence, type OtherPresence } from './others-presence.ts'
import { notifications, type NotificationsRequest } from './notifications.ts'
import { presenceContent, type PresenceContent } from './presence.ts'
import {
  deviceSynced,
  eraseStatus,
  type PresenceRequest,
  profileChanged,
  type ProfileChange,
  setPresence,
  userActive,
  wakeFor,
} from './set-presence.ts'
import { claimKeys, type ClaimedKey, type KeyClaim, type KeyCounts } from './one-time-keys.ts'
import { answerKeyQuery, type KeyQueryRequest } from './query-keys.ts'
import {
  applyDeviceListUpdate,
  applySigningKeyUpdate,
  type DeviceListUpdate,
  type FetchedKeys,
  keepRemoteKeys,
  type SigningKeyUpdate,
} from './remote-keys.ts'
import { uploadKeys, type KeysUpload } from './upload-keys.ts'
import { type SignatureFailure, type SignedKey, uploadSignatures } from './upload-signatures.ts'
import { eraseSigningKeys, type SigningKeysUpload, uploadSigningKeys } from './upload-signing-keys.ts'
import { editPushRules, type PushRuleEdit } from './push-rules.ts'
import {
  continueRoomsTasks,
  expectRoomsTask,
  resumeRoomsTasks,
  type RoomsTask,
  startRoomsTask,
} from './across-rooms.ts'
import {
  dropEmailPushers,
  dropPusher,
  listPushers,
  onPushAlarm,
  type PusherOwner,
  setUserPusher,
} from './pushes.ts'
import { applyRemoteMembership, type RemoteMembership } from './remote-invite.ts'
import { type ReceiptRequest, setReceipt } from './set-receipt.ts'
import { rememberFederated, tellReceipt, tellTyping } from './other-servers.ts'
import type { RoomNews } from './room-news.ts'
import { hubMigrations } from './schema.ts'
import { planSlidingSync } from './sliding-sync.ts'
import { parseSlidingPosition } from './sliding-sync-position.ts'
import type { SlidingSyncRequest } from './sliding-sync-request.ts'
import { parseSyncToken } from './sync-token.ts'
import { planSync } from './sync.ts'
import { seenToDevice, type SyncRequest, syncRequestHeader } from './sync-request.ts'
import { type FoundOther, type OthersSearch, searchOthers } from './search-others.ts'
import { setTyping, type TypingRequest } from './set-typing.ts'
import { noteInterest, tellAppservicesElsewhere } from './tell-appservices.ts'
import {
  eraseThreadSubscriptions,
  subscribeToThread,
  type ThreadName,
  threadSubscription,
  type ThreadSubscriptions,
  threadSubscriptionsSince,
  unsubscribeFromThread,
} from './thread-subscriptions.ts'
import { acknowledgeToDevice, receiveToDevice, type ToDeviceRequest } from './to-device.ts'
import { pollSync, requireCurrentDevice, waiterLeft, wakeUser } from './waiters.ts'

export class Hub extends DurableObject<Env> {
  readonly #hub: HubContext

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    migrate(ctx.storage, hubMigrations)
    this.#hub = openHub(ctx, env)
    // Whether an earlier life of this object has set the alarm: nobody waits longer for it, and nobody writes it again.
    void ctx.blockConcurrencyWhile(async () => {
      this.#hub.alarmAt = (await ctx.storage.getAlarm()) ?? undefined
      resumeRoomsTasks(this.#hub)
    })
  }

  override async alarm(): Promise<void> {
    this.#hub.alarmAt = undefined
    // First what asks for the soonest alarm, so that it is set once.
    lookAfterPresence(this.#hub)
    onPushAlarm(this.#hub)
    await continueRoomsTasks(this.#hub)
  }

  // What rooms tell.

  async applyRoomNews(news: RoomNews): Promise<void> {
    const senders = news.events.flatMap(({ transaction, sender }) => (transaction ? [sender] : []))
    const active = senders.flatMap((sender) => userActive(this.#hub, sender))
    await queueRoomNews(this.#hub, news)
    noteInterest(this.#hub, news)
    if (news.federated !== undefined) rememberFederated(this.#hub, news.roomId, news.federated)
    wakeFor(this.#hub, active)
  }

  /** An invite, a knock or the end of one, in a room that lives elsewhere. Whether anything changed. */
  async applyRemoteMembership(change: RemoteMembership): Promise<boolean> {
    await tellAppservicesElsewhere(this.#hub, change)
    return applyRemoteMembership(this.#hub, change)
  }

  // Syncs.

  /** A sync that does not wait: a SyncPlan as JSON text, the form in which it also comes over a socket. */
  planSync(request: SyncRequest): string {
    this.#beginSync(request)
    return JSON.stringify(planSync(this.#hub, request))
  }

  /** A sliding sync that does not wait: a SlidingPlan as JSON text. M_UNKNOWN_POS. */
  planSlidingSync(request: SlidingSyncRequest): string {
    this.#beginSync(request)
    return JSON.stringify(planSlidingSync(this.#hub, request))
  }

  /** A sync of either kind that waits: the plan at once as JSON, or a socket on which it comes. */
  override fetch(request: Request): Response {
    const text = decodeURIComponent(request.headers.get(syncRequestHeader) ?? '')
    // Only this server's own Worker can reach a Durable Object; it writes the request in client/poll-hub.ts.
    const syncRequest = JSON.parse(text) as SyncRequest | SlidingSyncRequest
    this.#beginSync(syncRequest)
    return pollSync(this.#hub, syncRequest, (socket, tag) => this.ctx.acceptWebSocket(socket, [tag]))
  }

  #beginSync(request: SyncRequest | SlidingSyncRequest): void {
    requireCurrentDevice(this.#hub, request)
    deviceSynced(this.#hub, request)
    const { userId, deviceId, ip } = request
    // Without a device, an application service syncs.
    if (deviceId === undefined) return
    const uid = internUser(this.#hub, userId)
    deviceSeen(this.#hub, uid, deviceId, ip)
    const seen = 'sliding' in request ? request.extensions.toDevice?.since : seenToDevice(request)
    if (seen !== undefined) acknowledgeToDevice(this.#hub, uid, deviceId, seen)
  }

  /** A waiting client went away. */
  override webSocketClose(socket: WebSocket): void {
    waiterLeft(this.#hub, socket)
    socket.close()
  }

  /** Notes that a user is locked, or is no longer. */
  setLocked(userId: UserId, locked: boolean): void {
    setLocked(this.#hub, userId, locked)
  }

  /** The position of a room that a token of /sync stands for; undefined for what is no such token. */
  roomPositionAt(_userId: UserId, roomId: RoomId, token: string): number | undefined {
    const position = parseSyncToken(token) ?? parseSlidingPosition(token)
    return position && roomPositionAt(this.#hub, roomId, position.log)
  }

  // Messages to devices.

  receiveToDevice(request: ToDeviceRequest): void {
    for (const uid of receiveToDevice(this.#hub, request)) wakeUser(this.#hub, uid)
  }

  // Memberships.

  roomsOf(userId: UserId): { roomId: RoomId; membership: string }[] {
    return roomsOf(this.#hub, userId)
  }

  /** Users of other servers whom a user finds by a term. */
  searchOthers(userId: UserId, request: OthersSearch): FoundOther[] {
    return searchOthers(this.#hub, userId, request)
  }

  joinedRooms(userId: UserId): RoomId[] {
    return joinedRooms(this.#hub, userId)
  }

  membershipsIn(userId: UserId, roomIds: readonly RoomId[]): RoomId[] {
    return membershipsIn(this.#hub, userId, roomIds)
  }

  /** A user's membership in a room, and what account data they have for it. */
  roomAccountData(userId: UserId, roomId: RoomId): RoomAccountData {
    return roomAccountData(this.#hub, userId, roomId)
  }

  noteDelayedRoom(userId: UserId, roomId: RoomId): DelayedRoom[] {
    return noteDelayedRoom(this.#hub, userId, roomId)
  }

  delayedRooms(userId: UserId): DelayedRoom[] {
    return delayedRooms(this.#hub, userId)
  }

  forgetDelayedRooms(userId: UserId, rooms: readonly DelayedRoom[]): void {
    forgetDelayedRooms(this.#hub, userId, rooms)
  }

  mutualRooms(userId: UserId, other: UserId): RoomId[] {
    return mutualRooms(this.#hub, userId, other)
  }

  standingIn(userId: UserId, roomId: RoomId): Standing | undefined {
    return standingIn(this.#hub, userId, roomId)
  }

  joinedToAny(userIds: readonly UserId[], roomIds: readonly RoomId[]): UserId[] {
    return joinedToAny(this.#hub, userIds, roomIds)
  }

  forgetRoom(userId: UserId, roomId: RoomId): void {
    forgetRoom(this.#hub, userId, roomId)
  }

  // Receipts, typing and presence.

  /** Answers what the other shards have to be told of it, if anything. */
  setReceipt(request: ReceiptRequest): ReceiptRequest | undefined {
    requireJoined(this.#hub, request.userId, request.roomId)
    const news = setReceipt(this.#hub, request)
    if (news) tellReceipt(this.#hub, news)
    wakeFor(this.#hub, userActive(this.#hub, request.userId))
    return news
  }

  /** A receipt of a user who is not of this shard: whether they may set it was checked where they are. */
  applyReceipt(request: ReceiptRequest): void {
    // Where nobody of this shard ever was, nobody looks.
    if (findRoom(this.#hub, request.roomId) !== undefined) setReceipt(this.#hub, request)
  }

  setTyping(request: TypingRequest): void {
    requireJoined(this.#hub, request.userId, request.roomId)
    setTyping(this.#hub, request)
    tellTyping(this.#hub, request)
    wakeFor(this.#hub, userActive(this.#hub, request.userId))
  }

  /** Typing of a user who is not of this shard. */
  applyTyping(request: TypingRequest): void {
    if (findRoom(this.#hub, request.roomId) !== undefined) setTyping(this.#hub, request)
  }

  setPresence(request: PresenceRequest): void {
    setPresence(this.#hub, request)
  }

  /** The presence of a user of this shard, undefined where they are in none of these rooms. */
  applyOtherPresence(updates: readonly OtherPresence[]): void {
    applyOtherPresence(this.#hub, updates)
  }

  /** The presence of a user of another server or shard, for one who shares a room with them. */
  otherPresence(userId: UserId, other: UserId): PresenceContent | undefined {
    return otherPresence(this.#hub, internUser(this.#hub, userId), other)
  }

  presenceIn(userId: UserId, roomIds: readonly RoomId[]): PresenceContent | undefined {
    return joinedToAny(this.#hub, [userId], roomIds).length > 0 ? this.presenceOf(userId) : undefined
  }

  presenceOf(userId: UserId): PresenceContent {
    return presenceContent(this.#hub, internUser(this.#hub, userId))
  }

  profileChanged(userId: UserId, change: ProfileChange): void {
    profileChanged(this.#hub, userId, change)
  }

  /** Something is about to concern all rooms of a user. */
  expectRoomsTask(userId: UserId, task: RoomsTask): void {
    expectRoomsTask(this.#hub, userId, task)
  }

  /** It is so now. Resolves when the first rooms know. */
  startRoomsTask(userId: UserId, task: RoomsTask): Promise<void> {
    return startRoomsTask(this.#hub, userId, task)
  }

  // Devices.

  createDevice(userId: UserId, device: NewDevice): Promise<number> {
    return this.#told(addDevice(this.#hub, userId, device))
  }

  deviceGeneration(userId: UserId, deviceId: string): number | undefined {
    return deviceGeneration(this.#hub, internUser(this.#hub, userId), deviceId)
  }

  /** The generation of a device as which an application service acts, which is seen by that; undefined for no such device. */
  actAsDevice(userId: UserId, deviceId: string, ip: string | undefined): number | undefined {
    return actAsDevice(this.#hub, userId, deviceId, ip)
  }

  listDevices(userId: UserId): Device[] {
    return listDevices(this.#hub, internUser(this.#hub, userId))
  }

  getDevice(userId: UserId, deviceId: string): Device | undefined {
    return getDevice(this.#hub, internUser(this.#hub, userId), deviceId)
  }

  renameDevice(userId: UserId, deviceId: string, displayName: string): Promise<boolean> {
    return this.#told(giveName(this.#hub, userId, deviceId, displayName))
  }

  deleteDevices(userId: UserId, devices: DeviceSelection): Promise<GoneDevice[]> {
    return this.#told(removeDevices(this.#hub, userId, devices))
  }

  dehydratedDevice(userId: UserId): DehydratedDevice | undefined {
    return dehydratedDevice(this.#hub, userId)
  }

  putDehydratedDevice(upload: DehydratedUpload): Promise<void> {
    return this.#told(putDehydratedDevice(this.#hub, upload))
  }

  dehydratedEvents(userId: UserId, deviceId: string, since: number, limit: number): DehydratedEvents {
    return dehydratedEvents(this.#hub, userId, deviceId, since, limit)
  }

  /** Answers when other servers are about to be told of it too. */
  async #told<T>(answer: T): Promise<T> {
    await keysAreTold(this.#hub)
    return answer
  }

  // Keys of end-to-end encryption.

  uploadKeys(upload: KeysUpload): Promise<KeyCounts> {
    return this.#told(uploadKeys(this.#hub, upload))
  }

  /** Keys by user id, as JSON text of KeyQueryAnswer. */
  queryKeys(request: KeyQueryRequest): string {
    return JSON.stringify(answerKeyQuery(this.#hub, request))
  }

  keepRemoteKeys(fetched: readonly FetchedKeys[]): void {
    keepRemoteKeys(this.#hub, fetched)
  }

  claimKeys(claims: readonly KeyClaim[]): ClaimedKey[] {
    return claimKeys(this.#hub, claims)
  }

  /** Answers false where the user must authenticate first. */
  uploadSigningKeys(upload: SigningKeysUpload): Promise<boolean> {
    return this.#told(uploadSigningKeys(this.#hub, upload))
  }

  eraseSigningKeys(userId: UserId): Promise<void> {
    return this.#told(eraseSigningKeys(this.#hub, userId))
  }

  uploadSignatures(userId: UserId, keys: readonly SignedKey[]): Promise<SignatureFailure[]> {
    return this.#told(uploadSignatures(this.#hub, userId, keys))
  }

  /** The users to fetch anew and to forget between two tokens of /sync; undefined where one of them is none. */
  keyChanges(userId: UserId, from: string, to: string): DeviceLists | undefined {
    return keyChanges(this.#hub, userId, from, to)
  }

  deviceListChanged(userId: UserId): void {
    deviceListChanged(this.#hub, userId)
  }

  applyDeviceListUpdate(update: DeviceListUpdate): void {
    applyDeviceListUpdate(this.#hub, update)
  }

  applySigningKeyUpdate(update: SigningKeyUpdate): void {
    applySigningKeyUpdate(this.#hub, update)
  }

  loginStanding(userId: string): LoginStanding {
    return loginStanding(this.#hub, userId)
  }

  loginFailed(userId: string): void {
    loginFailed(this.#hub, userId)
  }

  loginSucceeded(userId: string): void {
    loginSucceeded(this.#hub, userId)
  }

  // Account data, tags and filters. Contents are JSON text.

  putAccountData(userId: UserId, roomId: RoomId | null, data: AccountData): void {
    const rid = roomId === null ? globalRid : internRoom(this.#hub, roomId)
    const uid = internUser(this.#hub, userId)
    putAccountData(this.#hub, uid, rid, data)
    wakeUser(this.#hub, uid)
  }

  getAccountData(userId: UserId, roomId: RoomId | null, type: string): string | undefined {
    const rid = roomId === null ? globalRid : findRoom(this.#hub, roomId)
    return rid === undefined ? undefined : getAccountData(this.#hub, internUser(this.#hub, userId), rid, type)
  }

  /** What becomes of an invite of a user by another. */
  invitePermission(userId: UserId, inviter: UserId): InvitePermission {
    return invitePermissionOf(this.#hub, internUser(this.#hub, userId))(inviter)
  }

  ignoredUsers(userId: UserId): readonly string[] {
    const uid = findUser(this.#hub, userId)
    return uid === undefined ? [] : ignoredUsers(this.#hub, uid)
  }

  editPushRules(userId: UserId, edit: PushRuleEdit): PushRuleFailure | undefined {
    const uid = internUser(this.#hub, userId)
    const failure = editPushRules(this.#hub, uid, edit)
    if (!failure) wakeUser(this.#hub, uid)
    return failure
  }

  // Subscriptions to threads.

  threadSubscription(userId: UserId, thread: ThreadName): { readonly automatic: boolean } | undefined {
    return threadSubscription(this.#hub, internUser(this.#hub, userId), thread)
  }

  subscribeToThread(userId: UserId, thread: ThreadName, cause?: number): void {
    const uid = internUser(this.#hub, userId)
    if (subscribeToThread(this.#hub, uid, thread, cause)) wakeUser(this.#hub, uid)
  }

  unsubscribeFromThread(userId: UserId, thread: ThreadName, end: number): void {
    const uid = internUser(this.#hub, userId)
    if (unsubscribeFromThread(this.#hub, uid, thread, end)) wakeUser(this.#hub, uid)
  }

  threadSubscriptionsSince(
    userId: UserId,
    window: { readonly since: number; readonly upTo: number; readonly limit: number },
  ): ThreadSubscriptions {
    return threadSubscriptionsSince(this.#hub, internUser(this.#hub, userId), window)
  }

  // Pushers, and what their user was notified of.

  /** The PusherSettings of all of them, as JSON text. */
  listPushers(userId: UserId): string {
    return JSON.stringify(listPushers(this.#hub, internUser(this.#hub, userId)))
  }

  setPusher(owner: PusherOwner, settings: PusherSettings, append: boolean): void {
    setUserPusher(this.#hub, owner, settings, append)
  }

  /** Removes the pushers for an app and a pushkey: those of a user, or of whoever it is. */
  dropPusher(settings: Pick<PusherSettings, 'appId' | 'pushkey'>, userId?: UserId): void {
    dropPusher(this.#hub, settings, userId)
  }

  /** Removes the pushers of a user that send mails to an address, or the one whose mails carry a secret. */
  dropEmailPushers(userId: UserId, which: { address: string } | { secret: string }): void {
    dropEmailPushers(this.#hub, userId, which)
  }

  /** A NotificationPage as JSON text. */
  notifications(userId: UserId, request: NotificationsRequest): string {
    return JSON.stringify(notifications(this.#hub, userId, request))
  }

  putTag(userId: UserId, roomId: RoomId, tag: string, content?: string): void {
    const uid = internUser(this.#hub, userId)
    if (putTag(this.#hub, uid, internRoom(this.#hub, roomId), tag, content)) wakeUser(this.#hub, uid)
  }

  eraseAccountData(userId: UserId): void {
    const uid = internUser(this.#hub, userId)
    eraseThreadSubscriptions(this.#hub, uid)
    eraseAccountData(this.#hub, uid)
    eraseStatus(this.#hub, uid)
  }

  storeFilter(userId: UserId, json: string): string {
    return storeFilter(this.#hub, internUser(this.#hub, userId), json)
  }

  getFilter(userId: UserId, filterId: string): string | undefined {
    return getFilter(this.#hub, internUser(this.#hub, userId), filterId)
  }

  // Server-side key backups.

  createKeyBackup(userId: UserId, backup: { algorithm: string; authData: string }): string {
    return createKeyBackup(this.#hub, internUser(this.#hub, userId), backup)
  }

  /** The current version when none is named. */
  getKeyBackup(userId: UserId, version?: string): KeyBackupVersion | undefined {
    return getKeyBackup(this.#hub, internUser(this.#hub, userId), version)
  }

  updateKeyBackup(userId: UserId, version: string, authData: string): void {
    updateKeyBackup(this.#hub, internUser(this.#hub, userId), version, authData)
  }

  deleteKeyBackup(userId: UserId, version: string): boolean {
    return deleteKeyBackup(this.#hub, internUser(this.#hub, userId), version)
  }

  eraseKeyBackups(userId: UserId): void {
    eraseKeyBackups(this.#hub, internUser(this.#hub, userId))
  }

  putBackedUpKeys(userId: UserId, version: string, keys: readonly PlacedKey[]): KeyBackupWrite {
    return putBackedUpKeys(this.#hub, internUser(this.#hub, userId), version, keys)
  }

  deleteBackedUpKeys(userId: UserId, version: string, selection: KeySelection): KeyBackupWrite {
    return deleteBackedUpKeys(this.#hub, internUser(this.#hub, userId), version, selection)
  }

  /** One key as JSON text. */
  getBackedUpKey(userId: UserId, version: string, place: Required<KeySelection>): string | undefined {
    const uid = internUser(this.#hub, userId)
    const [key] = readBackedUpKeys(this.#hub, uid, version, place, { limit: 1 })
    return key && keyBackupData(key)
  }

  streamBackedUpKeys(
    userId: UserId,
    version: string,
    roomId?: string,
  ): ReadableStream<Uint8Array> | undefined {
    return streamBackedUpKeys(this.#hub, internUser(this.#hub, userId), version, roomId)
  }
}
