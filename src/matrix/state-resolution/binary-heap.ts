// A binary min-heap on a plain array, for the topological sort: the smallest of n candidates in O(log n).

/** Puts an item into the heap. */
export function pushHeap<Item>(heap: Item[], item: Item, compare: (x: Item, y: Item) => number): void {
  let index = heap.length
  heap.push(item)
  while (index > 0) {
    const parentIndex = (index - 1) >> 1
    const parent = heap[parentIndex]
    if (parent === undefined || compare(parent, item) <= 0) break
    heap[index] = parent
    index = parentIndex
  }
  heap[index] = item
}

/** Takes the smallest item out of the heap, undefined when it is empty. */
export function popHeap<Item>(heap: Item[], compare: (x: Item, y: Item) => number): Item | undefined {
  const smallest = heap[0]
  const last = heap.pop()
  if (last === undefined || heap.length === 0) return smallest
  let index = 0
  for (;;) {
    const childIndex = smallerChild(heap, index, compare)
    const child = heap[childIndex]
    if (child === undefined || compare(last, child) <= 0) break
    heap[index] = child
    index = childIndex
  }
  heap[index] = last
  return smallest
}

function smallerChild<Item>(heap: Item[], index: number, compare: (x: Item, y: Item) => number): number {
  const leftIndex = 2 * index + 1
  const left = heap[leftIndex]
  const right = heap[leftIndex + 1]
  if (left === undefined || right === undefined) return leftIndex
  return compare(right, left) < 0 ? leftIndex + 1 : leftIndex
}
