// The data folder of a server: who uses it, whose it is, and the token of its first user.

import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { StartError } from './options.ts'
import { pidFile } from './runtime.ts'

/**
 * Makes the folder if need be and takes it for this process until it ends, in whatever way.
 * Throws a StartError when it cannot be written to, or when another server uses it.
 */
export async function takeDataDir(dataDir: string): Promise<void> {
  try {
    makeFolder(dataDir)
    writeFileSync(join(dataDir, 'lock'), '', { flag: 'a' })
  } catch (error) {
    throw new StartError(`cannot write to ${dataDir}: ${code(error)}`)
  }
  lock(dataDir)
  await waitForWorkerd(dataDir)
}

// Not `recursive: true`: with that, Node never returns where a file system refuses new folders with ENOENT, like /proc.
function makeFolder(path: string): void {
  if (existsSync(path)) return
  if (!existsSync(dirname(path))) makeFolder(dirname(path))
  // It will hold the signing keys.
  mkdirSync(path, { mode: 0o700 })
}

// SQLite's lock on a file ends with the process that holds it, which a lock made of a file's existence would not.
function lock(dataDir: string): void {
  const database = new DatabaseSync(join(dataDir, 'lock'))
  try {
    database.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch {
    throw new StartError(`another server uses ${dataDir}`)
  }
  held.push(database)
}

const held: DatabaseSync[] = []

// After the launcher was killed, its workerd lives on for a moment, see workerd.sh.
async function waitForWorkerd(dataDir: string): Promise<void> {
  const pid = Number(read(pidFile(dataDir)) ?? 0)
  if (pid === 0) return
  const deadline = Date.now() + 5000
  while (isWorkerd(pid)) {
    if (Date.now() > deadline) {
      throw new StartError(
        `process ${pid} may still use ${dataDir}: end it, or remove ${pidFile(dataDir)} if it has nothing to do with it`,
      )
    }
    await sleep(100)
  }
  rmSync(pidFile(dataDir), { force: true })
}

function isWorkerd(pid: number): boolean {
  const { stdout } = spawnSync('ps', ['-o', 'stat=,args=', '-p', String(pid)], { encoding: 'utf8' })
  return /workerd/.test(stdout) && !stdout.trimStart().startsWith('Z')
}

/**
 * The name of the server whose data this is: the one it was first started with. Throws a StartError when `wanted` is
 * another one, since user ids, events and signatures all carry it.
 */
export function rememberServerName(dataDir: string, wanted: string | undefined, standard: string): string {
  const path = join(dataDir, 'server-name')
  const known = read(path)
  if (known === undefined) {
    const name = wanted ?? standard
    writeFileSync(path, `${name}\n`)
    return name
  }
  if (wanted !== undefined && wanted !== known) {
    throw new StartError(
      `${dataDir} belongs to the server '${known}', not '${wanted}'; take another --data folder`,
    )
  }
  return known
}

export interface FirstUserToken {
  readonly token: string
  readonly path: string
  /** Whether it was made just now, and is not kept yet. */
  readonly fresh: boolean
}

/** The registration token for the first user: the one that is kept in the folder, or a new one. */
export function firstUserToken(dataDir: string): FirstUserToken {
  const path = join(dataDir, 'first-user-token')
  const known = read(path)
  return { token: known ?? randomBytes(18).toString('base64url'), path, fresh: known === undefined }
}

/** Keeps a token, for its owner's eyes only. */
export function keepToken({ path, token }: FirstUserToken): void {
  writeFileSync(path, `${token}\n`, { mode: 0o600 })
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim() || undefined
  } catch (error) {
    if (code(error) === 'ENOENT') return undefined
    throw new StartError(`cannot read ${path}: ${code(error)}`)
  }
}

function code(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
