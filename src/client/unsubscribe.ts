// Ending mails about what is unread: the page that a link in each of them leads to, which mail programs also post to by
// themselves (RFC 8058). Whoever has the mail may end it; nothing else can be done with the link.

import { html } from 'hono/html'
import * as v from 'valibot'
import { hubStub } from '../env.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import { parseUserId } from '../matrix/identifiers.ts'
import { shardOf } from '../storage/users.ts'
import { showPage } from '../web/page.ts'

const linkQuery = v.object({ user: v.string(), token: v.string() })

/** GET and POST of the page. */
export function unsubscribeRoutes(app: App): void {
  // Programs that scan mails follow every link: looking ends nothing.
  app.get('/_matrix/client/unstable/hearth/email/unsubscribe', async (c) => {
    queryParams(c, linkQuery)
    return await showPage(c, {
      title: 'No more mails',
      content: () =>
        html`<form method="post">
          <p>You are not told by mail any more of what you have not read.</p>
          <button>Unsubscribe</button>
        </form>`,
    })
  })

  app.post('/_matrix/client/unstable/hearth/email/unsubscribe', async (c) => {
    await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
    await unsubscribe(c)
    // Said of links that have been used, too, and of wrong ones: there are no such mails.
    return await showPage(c, {
      title: 'Done',
      content: () => html`<p>There will be no more such mails.</p>`,
    })
  })
}

async function unsubscribe(c: AppContext): Promise<void> {
  const { user, token } = queryParams(c, linkQuery)
  const userId = parseUserId(user)
  const shard = userId && (await shardOf(c.env, userId))
  if (userId === undefined || shard === undefined) return
  await hubStub(c.env, shard).dropEmailPushers(userId, { secret: token })
}
