// Compaction of one bucket in memory, as short as it can be said; and what must hold of any, as pure functions.
import { cleared, moved, subkeyOf, sumOfChecksums } from './operations.ts'
import type { Operation } from './operations.ts'

/** What the storage knows a row by. */
function rowOf({ tableName, rowId, sourceTable, sourceKey }: Operation): string {
  return JSON.stringify([tableName, rowId, sourceTable, sourceKey])
}

/**
 * Every PUT and REMOVE with a later one of its row up to the bound becomes a MOVE to the last of them; what then precedes the
 * first PUT becomes one CLEAR. A CLEAR that is followed by a single MOVE or REMOVE may take it in too (`thorough`):
 * the service leaves those two.
 */
export function compacted(operations: readonly Operation[], bound: number, thorough = true): Operation[] {
  const within = operations.filter(({ opId }) => opId <= bound)
  const last = new Map<string, number>()
  for (const operation of within)
    if (operation.op === 'PUT' || operation.op === 'REMOVE') last.set(rowOf(operation), operation.opId)
  const merged = within.map((operation) => {
    if (operation.op === 'MOVE' || operation.op === 'CLEAR') return operation
    const target = last.get(rowOf(operation))!
    return target === operation.opId ? operation : moved(operation, target)
  })
  const firstPut = merged.findIndex(({ op }) => op === 'PUT')
  const prefix = firstPut < 0 ? merged : merged.slice(0, firstPut)
  const others = prefix.filter(({ op }) => op !== 'CLEAR').length
  const worthwhile = others > 1 || (thorough && others === 1 && prefix.length === 2)
  return [
    ...(worthwhile ? [cleared(prefix), ...merged.slice(prefix.length)] : merged),
    ...operations.slice(within.length),
  ]
}

/** What a client knows of a bucket: its rows, and the sum of everything else. */
export interface Reduced {
  readonly puts: Map<string, { readonly opId: number; readonly checksum: number; readonly data: string }>
  other: number
}

/** r(B): what a client has when it has seen these operations, after what it had before. */
export function reduced(
  operations: Iterable<Operation>,
  from: Reduced = { puts: new Map(), other: 0 },
  upTo = Infinity,
): Reduced {
  const puts = new Map(from.puts)
  let other = from.other
  const add = (checksum: number): void => {
    other = (other + checksum) >>> 0
  }
  for (const { opId, op, tableName, rowId, sourceTable, sourceKey, checksum, data } of operations) {
    if (opId > upTo) break
    if (op === 'CLEAR') {
      puts.clear()
      other = checksum >>> 0
    } else if (op === 'MOVE') add(checksum)
    else {
      const key = JSON.stringify([tableName, rowId, subkeyOf(sourceTable!, sourceKey!)])
      const held = puts.get(key)
      if (held !== undefined) add(held.checksum)
      puts.delete(key)
      if (op === 'PUT') puts.set(key, { opId, checksum, data: data! })
      else add(checksum)
    }
  }
  return { puts, other }
}

/** Two clients that are the same, whatever way they came. */
export function fingerprint({ puts, other }: Reduced): string {
  const rows = [...puts].map(([key, { checksum, data }]) => [key, checksum, data].join('\n')).sort()
  return JSON.stringify([rows, other])
}

/**
 * The formal properties: a new client ends the same with both, and so does one that has seen any part of `before`, from
 * its start, and the rest of `after`; and everything above the bound is untouched. Returns what does not hold.
 */
export function violations(before: readonly Operation[], after: readonly Operation[], bound: number): string[] {
  const found: string[] = []
  const expected = fingerprint(reduced(before))
  if (fingerprint(reduced(after)) !== expected) found.push('a new client ends otherwise')
  let seen = reduced([])
  for (const operation of before) {
    seen = reduced([operation], seen)
    const rest = after.filter(({ opId }) => opId > operation.opId)
    if (fingerprint(reduced(rest, seen)) !== expected) found.push(`a client at ${operation.opId} ends otherwise`)
  }
  const above = (operations: readonly Operation[]): string =>
    JSON.stringify(operations.filter(({ opId }) => opId > bound).map((one) => Object.entries(one).sort()))
  if (above(before) !== above(after)) found.push('operations above the bound were changed')
  if (sumOfChecksums(before) !== sumOfChecksums(after)) found.push('another checksum')
  if (after.slice(1).some(({ op }) => op === 'CLEAR')) found.push('a CLEAR that is not first')
  const already = new Set(before.filter(({ op }) => op === 'MOVE').map(({ opId }) => opId))
  for (const { opId, op, targetOp } of after)
    if (op === 'MOVE' && !already.has(opId) && (targetOp === null || targetOp <= opId || targetOp > bound))
      found.push(`target of ${opId}`)
  return found
}
