// The one style sheet of the server's pages: small screens first, light and dark as the browser asks.

import { raw } from 'hono/html'

export const styleSheet = raw(`
:root { color-scheme: light dark; --line: #0003; --accent: #0b5cad; --on-accent: #fff; --wrong: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --line: #fff4; --accent: #8ec5ff; --on-accent: #04213d; --wrong: #ffb4ab; } }
* { box-sizing: border-box; }
body { margin: 0; font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 26rem; margin: 0 auto; padding: 1.5rem 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; }
label { display: block; margin: 1rem 0; font-weight: 600; }
input:not([type=checkbox]) { display: block; width: 100%; margin-top: .25rem; padding: .6rem .75rem; font: inherit; border: 1px solid var(--line); border-radius: .5rem; }
button { width: 100%; margin-top: 1rem; padding: .7rem 1rem; font: inherit; font-weight: 600; border: 0; border-radius: .5rem; background: var(--accent); color: var(--on-accent); cursor: pointer; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
a { color: var(--accent); }
[role=alert]:not(:empty) { padding: .6rem .75rem; border: 1px solid var(--wrong); border-radius: .5rem; color: var(--wrong); }
`)
