// The Open Graph properties of a page, from what it says of itself in one way or another. Clients get strings, short ones, under
// names that are nothing but Open Graph's. https://ogp.me

import type { PageImage, PageMetadata } from './page-metadata.ts'

export interface PageDescription {
  /** All but those of the image. */
  readonly properties: Readonly<Record<string, string>>
  /** Where an image may be, as whole URLs, best first. */
  readonly images: readonly PageImage[]
}

const mostProperties = 30
const longest = new Map([
  ['og:title', 500],
  ['og:description', 1000],
])
const longestOther = 300
const longestUrl = 2048

const propertyName = /^og:[a-z0-9_]{1,32}(?::[a-z0-9_]{1,32}){0,2}$/
const urlProperty = /^og:(?:url|video|audio)$|:(?:url|secure_url)$/

/** Describes a page that was found at a URL. */
export function describePage(metadata: PageMetadata, url: URL): PageDescription {
  const properties = new Map<string, string>()
  for (const [name, content] of metadata.openGraph) {
    // The first of several counts. Images are told of by us: theirs would have clients go to the page's own server.
    if (properties.has(name) || properties.size >= mostProperties) continue
    if (!propertyName.test(name) || /^og:image(?::|$)/.test(name)) continue
    const value = urlProperty.test(name) ? webUrl(content, url) : shortened(content, longest.get(name))
    if (value) properties.set(name, value)
  }
  const { named, title } = metadata
  const otherwise = (name: string, ...values: (string | undefined)[]) => {
    const value = values.map((text) => shortened(text ?? '', longest.get(name))).find((text) => text !== '')
    if (value !== undefined && !properties.has(name)) properties.set(name, value)
  }
  otherwise('og:title', named.get('twitter:title'), title)
  otherwise('og:description', named.get('twitter:description'), named.get('description'))
  return { properties: Object.fromEntries(properties), images: imagesOf(metadata, url) }
}

function imagesOf(metadata: PageMetadata, url: URL): PageImage[] {
  const { named, picture, icons } = metadata
  const base = URL.parse(metadata.base ?? '', url) ?? url
  const source = named.get('twitter:image') ?? named.get('twitter:image:src')
  const alt = named.get('twitter:image:alt')
  const card = source === undefined ? undefined : { source, ...(alt !== undefined && { alt }) }
  const images = [openGraphImage(metadata), card, picture, ...icons].flatMap((image) => {
    const location = image === undefined ? undefined : webUrl(image.source, base)
    const text = shortened(image?.alt ?? '')
    return location === undefined ? [] : [{ source: location, ...(text !== '' && { alt: text }) }]
  })
  return images.filter(({ source: one }, at) => images.findIndex((other) => other.source === one) === at)
}

// The first image, with the properties between it and the next one.
function openGraphImage({ openGraph }: PageMetadata): PageImage | undefined {
  const isImage = ([name, content]: [string, string]) =>
    /^og:image(?::url|:secure_url)?$/.test(name) && content.trim() !== ''
  const at = openGraph.findIndex(isImage)
  const [, source] = openGraph[at] ?? []
  if (source === undefined) return undefined
  const rest = openGraph.slice(at + 1)
  const next = rest.findIndex(([name]) => name === 'og:image')
  const [, alt] = (next < 0 ? rest : rest.slice(0, next)).find(([name]) => name === 'og:image:alt') ?? []
  return { source, ...(alt !== undefined && { alt }) }
}

// As it stands where it is one, so that nobody sees another form of it.
function webUrl(text: string, base: URL): string | undefined {
  const url = text.trim() === '' ? null : URL.parse(text.trim(), base)
  if (!url || !/^https?:$/.test(url.protocol) || url.href.length > longestUrl) return undefined
  return URL.canParse(text.trim()) ? text.trim().toWellFormed() : url.href
}

function shortened(text: string, length = longestOther): string {
  const line = text.replaceAll(/[\s\p{Cc}]+/gu, ' ').trim()
  if (line.length <= length) return line.toWellFormed()
  // Not in the middle of a character.
  return `${line.slice(0, length - 1).replace(/[\ud800-\udbff]$/, '')}…`.toWellFormed()
}
