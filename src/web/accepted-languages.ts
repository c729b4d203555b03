// The Accept-Language header. RFC 9110, section 12.5.4.

/** The language tags of the header, best first; those that are not wanted are left out. */
export function acceptedLanguages(header: string | undefined): string[] {
  return (header ?? '')
    .split(',', 32)
    .map((part) => {
      const [tag = '', weight] = part.split(';', 2).map((text) => text.trim())
      const q = weight === undefined ? 1 : Number(/^q=([01](?:\.\d{1,3})?)$/i.exec(weight)?.[1] ?? 0)
      return { tag, q }
    })
    .filter(({ tag, q }) => /^[A-Za-z0-9-]+$/.test(tag) && q > 0)
    .sort((one, other) => other.q - one.q)
    .map(({ tag }) => tag)
}

/** Which of the languages offered suits a reader best: one they name, else the same with another region, else the first. */
export function bestLanguage(offered: readonly string[], accepted: readonly string[]): string | undefined {
  const primary = (tag: string) => tag.toLowerCase().split(/[-_]/, 1)[0]
  const whole = (tag: string) => tag.toLowerCase().replaceAll('_', '-')
  for (const wanted of accepted) {
    const found =
      offered.find((tag) => whole(tag) === whole(wanted)) ??
      offered.find((tag) => primary(tag) === primary(wanted))
    if (found !== undefined) return found
  }
  return offered.find((tag) => primary(tag) === 'en') ?? offered[0]
}
