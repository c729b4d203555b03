// The Worker of all test servers: the real one, with every binding under guard.

import worker, * as local from '../../scripts/local-entry.ts'
import { guardObject } from './guard/durable-object.ts'
import { guardWorker } from './guard/worker.ts'

export const Room = guardObject(local.Room, 'Room')
export const Hub = guardObject(local.Hub, 'Hub')
export const ServerKeys = guardObject(local.ServerKeys, 'ServerKeys')
export const FederationSender = guardObject(local.FederationSender, 'FederationSender')
export const AppserviceSender = guardObject(local.AppserviceSender, 'AppserviceSender')
export const PasswordHasher = guardObject(local.PasswordHasher, 'PasswordHasher')

export const EventFetcher = guardObject(local.EventFetcher, 'EventFetcher')
export const RemoteJoin = guardObject(local.RemoteJoin, 'RemoteJoin')

export default guardWorker(worker)
