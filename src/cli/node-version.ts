// The oldest Node.js that tamp runs on. This file imports nothing and uses no new syntax.

/** Whether a version such as `20.11.1` is older than 22.18. */
export function nodeIsTooOld(version: string): boolean {
  const parts = version.split('.')
  const major = Number(parts[0])
  return major < 22 || (major === 22 && Number(parts[1]) < 18)
}
