// The name and version of this implementation, as package.json has it.

export const implementation = { name: 'Hearth', version: '0.1.0' } as const
