// m.login.dummy: nothing to show. Specification: client-server API, "Dummy Auth".

import { html } from 'hono/html'
import type { AuthStage } from './auth-stage.ts'

export const dummyStage: AuthStage = {
  perform: async (_env, { userId }) => ({ ok: true, userId }),
  page: {
    title: 'Continue',
    fields: [],
    content: () => html`<p>There is nothing to do at this step but to go on.</p>`,
  },
}
