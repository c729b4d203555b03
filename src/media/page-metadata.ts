// What a web page says of itself: read off its elements by the platform's parser, which runs nothing and loads nothing.

import { decodeEntities } from './html-entities.ts'

/** An image that stands for a page, as the page names it. */
export interface PageImage {
  readonly source: string
  readonly alt?: string
}

/** What is found in a page, with character references resolved, but otherwise as it stands there. */
export interface PageMetadata {
  /** `og:` properties in their order, several of one name among them. */
  readonly openGraph: [name: string, content: string][]
  /** The first of each name of `twitter:`, and of `description`. */
  readonly named: Map<string, string>
  title: string
  base: string | undefined
  /** An image of the body that is large enough, and the icons of the page, best first. */
  picture: PageImage | undefined
  readonly icons: PageImage[]
}

// More than any honest page has.
const mostProperties = 100
const mostIcons = 4
const longestValue = 4096
// In pixels. What is smaller counts visitors, or decorates.
const leastSize = 100

/** Reads a page. What comes after something that cannot be parsed is left out. */
export async function readPageMetadata(html: string): Promise<PageMetadata> {
  const found: PageMetadata = {
    openGraph: [],
    named: new Map(),
    title: '',
    base: undefined,
    picture: undefined,
    icons: [],
  }
  const parsed = new HTMLRewriter()
    .on('meta', { element: (element) => readMeta(found, element) })
    .on('title', titleReader(found))
    .on('base', { element: (element) => void (found.base ??= attribute(element, 'href')) })
    .on('link', { element: (element) => readLink(found, element) })
    .on('img', { element: (element) => readImage(found, element) })
    .transform(new Response(html))
  try {
    await parsed.body?.pipeTo(new WritableStream())
  } catch {
    // The parser gives up where it cannot tell markup from text. What was found by then counts.
  }
  return found
}

function readMeta({ openGraph, named }: PageMetadata, element: Element): void {
  if (openGraph.length + named.size >= mostProperties) return
  // Many pages have one for the other.
  const name = (attribute(element, 'property') ?? attribute(element, 'name'))?.trim().toLowerCase()
  const content = attribute(element, 'content')
  if (name === undefined || content === undefined) return
  if (name.startsWith('og:')) openGraph.push([name, content])
  else if ((name === 'description' || name.startsWith('twitter:')) && !named.has(name))
    named.set(name, content)
}

// The first that is not empty: images within the page have titles too.
function titleReader(found: PageMetadata): HTMLRewriterElementContentHandlers {
  let text = ''
  return {
    text: (chunk) => {
      if (found.title === '' && text.length < longestValue) text += chunk.text
      if (!chunk.lastInTextNode) return
      if (found.title === '') found.title = decodeEntities(text).trim()
      text = ''
    },
  }
}

function readLink({ icons }: PageMetadata, element: Element): void {
  const kinds = (attribute(element, 'rel') ?? '').toLowerCase().split(/\s+/)
  const source = attribute(element, 'href')
  if (source === undefined || icons.length >= mostIcons) return
  // Those for home screens are larger.
  if (kinds.some((kind) => kind === 'image_src' || kind.startsWith('apple-touch-icon')))
    icons.unshift({ source })
  else if (kinds.includes('icon')) icons.push({ source })
}

function readImage(found: PageMetadata, element: Element): void {
  if (found.picture) return
  const isLarge = ['width', 'height'].every(
    (name) => Number.parseInt(attribute(element, name) ?? '', 10) >= leastSize,
  )
  const source = isLarge ? attribute(element, 'src') : undefined
  const alt = attribute(element, 'alt')
  if (source !== undefined) found.picture = { source, ...(alt !== undefined && { alt }) }
}

function attribute(element: Element, name: string): string | undefined {
  const value = element.getAttribute(name)
  return value === null || value.length > longestValue ? undefined : decodeEntities(value)
}
