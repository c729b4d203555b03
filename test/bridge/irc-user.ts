// A user of an IRC server: a line of text after another over TCP. RFC 2812.

import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { until } from '../clients/person.ts'

export interface IrcUser {
  readonly nick: string
  readonly join: (channel: string) => Promise<void>
  readonly say: (target: string, text: string) => void
  /** Waits until somebody has said something to a channel or to this user. Answers with their nick. */
  readonly heard: (text: string) => Promise<string>
  /** Whether somebody is in the channel, of whom this user has seen that they came. */
  readonly isHere: (other: string) => boolean
  /** How often it was said. */
  readonly timesHeard: (text: string) => number
  readonly close: () => void
}

interface Message {
  /** The nick of whoever it is from; empty for what the server says of itself. */
  readonly from: string
  readonly command: string
  readonly text: string
}

/** Connects to a server on 127.0.0.1. */
export async function ircUser(port: number, nick: string): Promise<IrcUser> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const messages: Message[] = []
  const send = (line: string) => void socket.write(`${line}\r\n`)
  createInterface({ input: socket }).on('line', (line) => {
    const message = parsed(line)
    if (message.command === 'PING') send(`PONG :${message.text}`)
    else messages.push(message)
  })
  const seen = (what: string, isIt: (message: Message) => boolean) =>
    until(`${nick} to see ${what} on IRC`, () => messages.find(isIt))
  const isSaid = (text: string) => (message: Message) =>
    message.command === 'PRIVMSG' && message.text === text
  send(`NICK ${nick}`)
  send(`USER ${nick} 0 * :${nick}`)
  await seen('the welcome', ({ command }) => command === '001')
  return {
    nick,
    async join(channel) {
      send(`JOIN ${channel}`)
      await seen(`${channel} open`, ({ command }) => command === '366')
    },
    say: (target, text) => send(`PRIVMSG ${target} :${text}`),
    heard: async (text) => (await seen(`"${text}"`, isSaid(text))).from,
    isHere: (other) =>
      messages.findLast(({ from, command }) => from === other && /^(?:JOIN|PART|QUIT)$/.test(command))
        ?.command === 'JOIN',
    timesHeard: (text) => messages.filter(isSaid(text)).length,
    close: () => void socket.destroy(),
  }
}

/** `:nick!user@host COMMAND parameters :text`. */
function parsed(line: string): Message {
  const [, from = '', command = '', rest = ''] = /^(?::([^! ]+)\S* )?(\S+)(.*)$/.exec(line) ?? []
  const [, text = ''] = / :(.*)$/.exec(rest) ?? []
  return { from, command, text }
}
