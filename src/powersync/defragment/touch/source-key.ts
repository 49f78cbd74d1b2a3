// The key of a source row, recovered from the bucket storage, which keeps only a hash of it. Nothing is guessed: a recovered key
// is one whose hash is the stored one.
import { createHash } from 'node:crypto'
import { Binary, deserialize, Double, Int32, Long, serialize } from 'bson'

/** A column that tells rows of a source table apart: of `source_tables.replica_id_columns`. */
export interface KeyColumn {
  readonly name: string
  /** The oid of its type in PostgreSQL; null where it was not recorded. */
  readonly typeOid: number | null
}

/** The texts of the key's values, as PostgreSQL reads them for their types; null for NULL. */
export type SourceKey = readonly (string | null)[]

/** What the storage holds about a source row. */
export interface StoredRow {
  /** BSON of `{id: uuid}`, the uuid a hash of the key. */
  readonly sourceKey: Uint8Array
  /** `current_data.data`: BSON of the source row, or of `{}`. */
  readonly sourceRow: Uint8Array | null
  /** `data` of one of its PUTs: JSON of what clients see. */
  readonly put: string | null
  readonly rowId: string
}

/**
 * The key of a row, or null where it cannot be recovered: from the source row, from what clients see where that holds all
 * columns of the key, or from the id that clients know the row by.
 */
export function recoverKey(columns: readonly KeyColumn[], row: StoredRow): SourceKey | null {
  const hash = storedHash(row.sourceKey)
  if (hash === null || columns.length === 0) return null
  for (const candidate of candidates(columns, row)) {
    const values = columns.map(({ name }) => [name, candidate(name)] as const)
    if (values.some(([, value]) => value === undefined)) continue
    if (keyHash(serialize(Object.fromEntries(values))).equals(hash))
      return columns.map(({ typeOid }, at) => textOf(values[at]![1], typeOid))
  }
  return null
}

type ValueOf = (column: string) => unknown

function* candidates(columns: readonly KeyColumn[], { sourceRow, put, rowId }: StoredRow): Iterable<ValueOf> {
  if (sourceRow !== null) {
    const row = deserialize(sourceRow, { promoteValues: false })
    yield (column) => (Object.hasOwn(row, column) ? row[column] : undefined)
  }
  const types = new Map(columns.map(({ name, typeOid }) => [name, typeOid]))
  if (put !== null) {
    const row = parseExactly(put)
    yield (column) => (Object.hasOwn(row, column) ? asReplicated(row[column]!, types.get(column)!) : undefined)
  }
  if (columns.length === 1) yield (column) => asReplicated(rowId, types.get(column)!)
}

/** Namespace of the UUIDs that stand for the keys of SQL sources: a constant of the service. */
const namespace = Buffer.from('a396dd9109fc4017a28d3df722f651e9', 'hex')

/** The first 16 bytes of a name-based UUID, version 5: RFC 9562 §5.5. */
function keyHash(bytes: Uint8Array): Buffer {
  const hash = createHash('sha1').update(namespace).update(bytes).digest().subarray(0, 16)
  hash[6] = (hash[6]! & 0x0f) | 0x50
  hash[8] = (hash[8]! & 0x3f) | 0x80
  return hash
}

function storedHash(sourceKey: Uint8Array): Buffer | null {
  const { id } = deserialize(sourceKey, { promoteValues: false }) as { id?: unknown }
  return id instanceof Binary && id.sub_type === Binary.SUBTYPE_UUID ? Buffer.from(id.buffer) : null
}

/** Members of a JSON object; numbers as their text, since an int8 does not fit a JavaScript number. */
function parseExactly(json: string): Record<string, string | null> {
  const reviver = (_: string, value: unknown, context: { source: string }): unknown =>
    typeof value === 'number' || typeof value === 'boolean' ? context.source : value
  const row: unknown = JSON.parse(json, reviver as (key: string, value: unknown) => unknown)
  return typeof row === 'object' && row !== null ? (row as Record<string, string | null>) : {}
}

const bool = 16
const integers: ReadonlySet<number> = new Set([bool, 20, 21, 23, 26])
const floats: ReadonlySet<number> = new Set([700, 701])

/** A text as the value that the replicator makes of a column of that type. */
function asReplicated(text: string | null, typeOid: number | null): unknown {
  if (text === null) return null
  if (integers.has(typeOid!)) return /^-?\d+$/.test(text) ? Long.fromString(text) : undefined
  return floats.has(typeOid!) ? Number(text) : text
}

function textOf(value: unknown, typeOid: number | null): string | null {
  if (value === null) return null
  if (value instanceof Binary) return `\\x${Buffer.from(value.buffer).toString('hex')}`
  const text =
    value instanceof Long || value instanceof Double || value instanceof Int32
      ? String(value)
      : (value as string | number)
  return typeOid === bool ? (text === '0' ? 'false' : 'true') : String(text)
}
