// A decoded image, and how it is made smaller.

export interface Bitmap {
  readonly width: number
  readonly height: number
  /** Red, green, blue and alpha of each pixel, row by row. */
  readonly data: Uint8ClampedArray
}

export interface Rectangle {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

/**
 * Scales a part of an image down to a size: each new pixel is the mean of the area that it covers, weighted by alpha so
 * that transparent pixels lend no colour to their neighbours.
 */
export function scaleDown(image: Bitmap, part: Rectangle, width: number, height: number): Bitmap {
  const data = new Uint8ClampedArray(width * height * 4)
  const sums = new Float64Array(width * 4)
  const line = new Float64Array(width * 4)
  const step = part.height / height
  for (let row = 0; row < height; row += 1) {
    const [from, to] = [part.y + row * step, part.y + (row + 1) * step]
    sums.fill(0)
    for (let y = Math.floor(from); y < Math.min(to, image.height); y += 1) {
      const weight = Math.min(y + 1, to) - Math.max(y, from)
      if (weight <= 0) continue
      sumLine(image, y, part, line)
      for (let i = 0; i < sums.length; i += 1) sums[i] = (sums[i] ?? 0) + (line[i] ?? 0) * weight
    }
    writeRow(data.subarray(row * width * 4, (row + 1) * width * 4), sums, (part.width / width) * step)
  }
  return { width, height, data }
}

// For each new column, what the line holds under it: colours times alpha, and alpha.
function sumLine(image: Bitmap, y: number, part: Rectangle, line: Float64Array): void {
  const { data } = image
  const columns = line.length / 4
  const step = part.width / columns
  const start = y * image.width
  for (let column = 0; column < columns; column += 1) {
    const [from, to] = [part.x + column * step, part.x + (column + 1) * step]
    let [red, green, blue, alpha] = [0, 0, 0, 0]
    for (let x = Math.floor(from); x < Math.min(to, image.width); x += 1) {
      const at = (start + x) * 4
      const weight = (Math.min(x + 1, to) - Math.max(x, from)) * (data[at + 3] ?? 0)
      red += (data[at] ?? 0) * weight
      green += (data[at + 1] ?? 0) * weight
      blue += (data[at + 2] ?? 0) * weight
      alpha += weight
    }
    line.set([red, green, blue, alpha], column * 4)
  }
}

function writeRow(row: Uint8ClampedArray, sums: Float64Array, area: number): void {
  for (let i = 0; i < row.length; i += 4) {
    const alpha = sums[i + 3] ?? 0
    if (alpha === 0) continue
    for (let channel = 0; channel < 3; channel += 1) row[i + channel] = (sums[i + channel] ?? 0) / alpha
    row[i + 3] = alpha / area
  }
}

/** Whether no pixel lets anything through. */
export function isOpaque({ data }: Bitmap): boolean {
  for (let i = 3; i < data.length; i += 4) if (data[i] !== 255) return false
  return true
}
