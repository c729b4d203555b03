// The one style sheet of the server's pages: small screens first, light and dark as the browser asks. It stands in each
// page, since there is little of it and pages are seen once.

import { raw } from 'hono/html'

export const styleSheet = raw(`
:root {
  color-scheme: light dark;
  --page: #f4f5f7; --card: #fff; --text: #17191c; --quiet: #5c6470; --line: #8a929e;
  --accent: #0b5cad; --on-accent: #fff; --wrong: #a1161c; --wrong-card: #fdecec;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101317; --card: #1a1e24; --text: #eceff3; --quiet: #a5aeba; --line: #6d7683;
    --accent: #8ec5ff; --on-accent: #04213d; --wrong: #ffb4ab; --wrong-card: #3b1516;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 28rem; min-height: 100vh; margin: 0 auto; padding: 1.5rem 1.25rem; background: var(--card); overflow-wrap: anywhere; }
@media (min-width: 30rem) { main { min-height: 0; margin: 10vh auto; padding: 2rem; border-radius: 1rem; box-shadow: 0 1px 3px #0003; } }
h2 { margin: 2rem 0 1rem; font-size: 1.125rem; line-height: 1.25; }
h1 { margin: 0 0 1rem; font-size: 1.5rem; line-height: 1.25; }
p { margin: 0 0 1rem; }
footer { margin-top: 2rem; color: var(--quiet); font-size: .875rem; }
label { display: block; margin: 0 0 1rem; font-weight: 600; }
input:not([type=checkbox]) {
  display: block; width: 100%; margin-top: .25rem; padding: .625rem .75rem; font: inherit; font-weight: 400;
  color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
}
label.choice { display: flex; gap: .75rem; align-items: flex-start; font-weight: 400; }
label.choice input { flex: none; width: 1.25rem; height: 1.25rem; margin: .125rem 0 0; accent-color: var(--accent); }
button {
  width: 100%; min-height: 2.75rem; padding: .625rem 1rem; font: inherit; font-weight: 600; cursor: pointer;
  color: var(--on-accent); background: var(--accent); border: 0; border-radius: .5rem;
}
a.button {
  display: block; margin: 0 0 .75rem; min-height: 2.75rem; padding: .625rem 1rem; font-weight: 600; text-align: center;
  text-decoration: none; color: var(--on-accent); background: var(--accent); border-radius: .5rem;
}
nav + form { margin-top: 1.5rem; padding-top: 1.5rem; border-top: 1px solid var(--line); }
button.quiet { margin-top: .75rem; color: var(--accent); background: none; border: 1px solid var(--line); }
form + p, form + form { margin-top: 1.5rem; }
ul { margin: 0 0 1rem; padding: 0; list-style: none; }
li { margin: 0 0 .75rem; }
button:disabled { opacity: .6; cursor: default; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
a { color: var(--accent); }
[hidden] { display: none !important; }
.alert, [role=alert]:not(:empty) { padding: .75rem; color: var(--wrong); background: var(--wrong-card); border-radius: .5rem; }
.g-recaptcha, .cf-turnstile { min-height: 5rem; margin: 0 0 1rem; }
`)
