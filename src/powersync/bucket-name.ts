// Names of buckets: `[group#]definition[JSON parameters]`. They contain commas and quotes, so they are never split at any.

/** The definition with its version prefix: `1#by_user|0` of `1#by_user|0["x"]`. */
export function definitionOf(bucket: string): string {
  const at = bucket.indexOf('[')
  return at < 0 ? bucket : bucket.slice(0, at)
}

/** The same as SQL, over a column or expression. */
export function definitionSql(name: string): string {
  return `split_part(${name}, '[', 1)`
}

/** Whether a definition is the one that a user named: `1#by_user|0`, or shorter `by_user|0` or `by_user`. */
export function isDefinition(definition: string, named: string): boolean {
  const bare = definition.replace(/^\d+#/, '')
  return named === definition || named === bare || named === bare.replace(/\|\d+$/, '')
}
