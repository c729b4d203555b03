// Values of variables, for those who read the configuration: what makes no sense names its variable.

/** A number from 1 to `max`. Throws an Error naming the variable for anything else. */
export function integer(name: string, value: string, max: number): number {
  const number = Number(value)
  if (Number.isInteger(number) && number >= 1 && number <= max) return number
  throw new Error(`${name} is not a number from 1 to ${max}: ${value}`)
}

/** One of the allowed values. Throws an Error naming the variable for anything else. */
export function oneOf<const T extends string>(name: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((candidate) => candidate === value)
  if (found === undefined) throw new Error(`${name} must be one of ${allowed.join(', ')}, not ${value}`)
  return found
}
