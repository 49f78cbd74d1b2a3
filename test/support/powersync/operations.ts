// Operations of a bucket as bucket_data stores them, with the checksums that the service would give them: read, made up, written.
import { createHash } from 'node:crypto'
import { deserialize, serialize, UUID } from 'bson'
import type { Session } from '../session.ts'

/** One row of bucket_data. Checksums as stored: unsigned for PUT and REMOVE, signed for CLEAR. `sourceKey` is hexadecimal. */
export interface Operation {
  readonly opId: number
  readonly op: 'PUT' | 'REMOVE' | 'MOVE' | 'CLEAR'
  readonly sourceTable: string | null
  readonly sourceKey: string | null
  readonly tableName: string | null
  readonly rowId: string | null
  readonly checksum: number
  readonly data: string | null
  readonly targetOp: number | null
}

export type Buckets = Map<string, Operation[]>

/** Which row an operation is about. Rows of two source tables can come to clients under the same table and id. */
export interface RowIdentity {
  readonly table: string
  readonly id: string
  /** Default: one made up from the table. */
  readonly sourceTable?: string
  /** What identifies it at the source, where that is not its id. */
  readonly key?: string
}

const namespace = Buffer.from('a396dd9109fc4017a28d3df722f651e9', 'hex')

export function uuid5(bytes: Uint8Array): UUID {
  const hash = createHash('sha1').update(namespace).update(bytes).digest().subarray(0, 16)
  hash[6] = (hash[6]! & 0x0f) | 0x50
  hash[8] = (hash[8]! & 0x3f) | 0x80
  return new UUID(hash)
}

/** The UUID that stands for a row of a SQL source whose key column `id` has this value. */
export function replicaId(key: string): UUID {
  return uuid5(serialize({ id: key }))
}

export function sourceKeyOf(key: string): string {
  return Buffer.from(serialize({ id: replicaId(key) })).toString('hex')
}

const subkeys = new Map<string, string>()

/** What clients know the row by: of its BSON `{id}`, a UUID as it is, anything else hashed to one together with the table. */
export function subkeyOf(sourceTable: string, sourceKey: string): string {
  const known = subkeys.get(sourceTable + sourceKey)
  if (known !== undefined) return known
  const { id } = deserialize(Buffer.from(sourceKey, 'hex'), { useBigInt64: true }) as { id: unknown }
  const binary = id as { _bsontype?: string; sub_type?: number; buffer?: Uint8Array } | null
  const subkey =
    binary?._bsontype === 'Binary' && binary.sub_type === 4
      ? `${sourceTable}/${new UUID(Buffer.from(binary.buffer!)).toHexString()}`
      : uuid5(serialize({ table: sourceTable, id })).toHexString()
  subkeys.set(sourceTable + sourceKey, subkey)
  return subkey
}

const first4 = (text: string): number => createHash('sha256').update(text).digest().readUInt32LE(0)

export function putChecksum(tableName: string, rowId: string, data: string): number {
  return first4(`put.${tableName}.${rowId}.${data}`)
}

export function removeChecksum(subkey: string): number {
  return first4(`delete.${subkey}`)
}

/** Adds checksums as the service does: 32 bits, wrapping, signed. */
export function sumOfChecksums(operations: Iterable<{ readonly checksum: number }>): number {
  let total = 0
  for (const { checksum } of operations) total = (total + checksum) | 0
  return total
}

/** A UUID that stands for the name, as ids of source tables are UUIDs. */
export function sourceTableId(name: string): string {
  return uuid5(Buffer.from(`table ${name}`)).toHexString()
}

function identified({ table, id, sourceTable = sourceTableId(table), key = id }: RowIdentity) {
  return { sourceTable, sourceKey: sourceKeyOf(key), tableName: table, rowId: id, targetOp: null }
}

/** `data`: the row's text as it is stored, or a value of which a text is made. */
export function put(opId: number, row: RowIdentity, data: unknown): Operation {
  const text = typeof data === 'string' ? data : JSON.stringify({ id: row.id, value: data })
  return { opId, op: 'PUT', ...identified(row), checksum: putChecksum(row.table, row.id, text), data: text }
}

export function remove(opId: number, row: RowIdentity): Operation {
  const at = identified(row)
  return { opId, op: 'REMOVE', ...at, checksum: removeChecksum(subkeyOf(at.sourceTable, at.sourceKey)), data: null }
}

const nobody = { sourceTable: null, sourceKey: null, tableName: null, rowId: null, data: null }

export function moved(of: Operation, targetOp: number): Operation {
  return { ...of, ...nobody, op: 'MOVE', targetOp }
}

/** A CLEAR in the place of these operations. */
export function cleared(operations: readonly Operation[]): Operation {
  const targets = operations.flatMap(({ targetOp }) => targetOp ?? [])
  return {
    ...nobody,
    opId: operations.at(-1)!.opId,
    op: 'CLEAR',
    checksum: sumOfChecksums(operations),
    targetOp: targets.length === 0 ? null : Math.max(...targets),
  }
}

/** All operations of a stream, by bucket, in op id order. */
export async function readBuckets(
  session: Pick<Session, 'query'>,
  { group = 1, buckets = null }: { readonly group?: number; readonly buckets?: readonly string[] | null } = {},
): Promise<Buckets> {
  const rows = await session.query<[string, ...unknown[]]>(
    `SELECT bucket_name, op_id, op, source_table, encode(source_key, 'hex'), table_name, row_id, checksum, data, target_op
       FROM powersync.bucket_data WHERE group_id = $1 AND ($2::text[] IS NULL OR bucket_name = ANY ($2))
      ORDER BY bucket_name COLLATE "C", op_id`,
    [group, buckets],
  )
  const read: Buckets = new Map()
  for (const [bucket, opId, op, sourceTable, sourceKey, tableName, rowId, checksum, data, targetOp] of rows) {
    if (!read.has(bucket)) read.set(bucket, [])
    read
      .get(bucket)!
      .push({ opId, op, sourceTable, sourceKey, tableName, rowId, checksum, data, targetOp } as unknown as Operation)
  }
  return read
}

/** Adds operations to a bucket, as they are. */
export async function writeBucket(
  session: Pick<Session, 'query'>,
  bucket: string,
  operations: readonly Operation[],
  group = 1,
): Promise<void> {
  await writeBuckets(session, new Map([[bucket, operations]]), group)
}

/** The same for many buckets in few statements. */
export async function writeBuckets(
  session: Pick<Session, 'query'>,
  buckets: ReadonlyMap<string, readonly Operation[]>,
  group = 1,
): Promise<void> {
  const rows = [...buckets].flatMap(([bucket, operations]) => operations.map((operation) => ({ bucket, ...operation })))
  for (let at = 0; at < rows.length; at += 5000)
    await session.query(
      `INSERT INTO powersync.bucket_data
         (group_id, bucket_name, op_id, op, source_table, source_key, table_name, row_id, checksum, data, target_op)
       SELECT $1, o.bucket, o."opId", o.op, o."sourceTable", decode(o."sourceKey", 'hex'), o."tableName", o."rowId",
              o.checksum, o.data, o."targetOp"
         FROM json_to_recordset($2) AS o(bucket text, "opId" int8, op text, "sourceTable" text, "sourceKey" text,
              "tableName" text, "rowId" text, checksum int8, data text, "targetOp" int8)`,
      [group, JSON.stringify(rows.slice(at, at + 5000))],
    )
}
