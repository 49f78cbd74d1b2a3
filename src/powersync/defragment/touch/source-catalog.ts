// What the catalog of the source database says of a table that is to be touched: how its key is written, which column can be set to
// itself, what an UPDATE sets off, and what makes it pointless.
import type { Connection } from '../../../database/postgres.ts'
import type { SourceTable } from './moved-rows.ts'
import { builtinTypes, quoteName } from './update-statement.ts'
import type { TouchTarget } from './update-statement.ts'

/** How to touch a table, with remarks; or why not. */
export type Approach =
  { readonly target: TouchTarget; readonly notes: readonly string[] } | { readonly refused: string }

interface Column {
  readonly name: string
  readonly typeOid: number
  /** As SQL writes it. */
  readonly type: string
  /** Neither generated nor an identity that is always generated, and the role may update it. */
  readonly settable: boolean
}

interface Trigger {
  readonly name: string
  readonly function: string
  /** Of `UPDATE OF`; empty: fires for every UPDATE. */
  readonly columns: readonly string[]
}

/**
 * Without the source at hand: types that PostgreSQL comes with, and the first column of the key, which may turn out to be an identity
 * that cannot be set.
 */
export function approachUnseen({ schema, name, key }: SourceTable): Approach {
  const typed = key.map((column) => ({ name: column.name, type: builtinTypes.get(column.typeOid ?? 0) }))
  const unknown = typed.find(({ type }) => type === undefined)
  if (unknown !== undefined)
    return {
      refused: `its column ${unknown.name} is of a type that only the source database knows: name it with --source`,
    }
  const [first] = typed
  if (first === undefined) return { refused: 'the storage does not say what tells its rows apart' }
  return {
    target: {
      schema,
      table: name,
      key: typed.map(({ name, type }) => ({ name, type: type! })),
      touched: first.name,
    },
    notes: [],
  }
}

/** Asks the source. */
export async function approach(source: Connection, table: SourceTable): Promise<Approach> {
  const { schema, name, key } = table
  const [found] = await source.query<[number, string, boolean, boolean, boolean]>(
    `SELECT c.oid::int8, c.relreplident, row_security_active(c.oid), has_table_privilege(c.oid, 'SELECT'),
            has_any_column_privilege(c.oid, 'UPDATE')
       FROM pg_catalog.pg_class c
      WHERE c.oid = to_regclass($1) AND c.relkind IN ('r', 'p')`,
    [`${quoteName(schema)}.${quoteName(name)}`],
  )
  if (found === undefined) return { refused: 'the source database has no such table' }
  const [oid, identity, rowSecurity, readable, writable] = found
  if (!readable || !writable) return { refused: 'the role may not read and update it' }
  // An UPDATE of a published table without an identity is an error.
  if (identity === 'n') return { refused: 'its REPLICA IDENTITY is NOTHING: an UPDATE of it cannot be replicated' }

  const columns = await readColumns(source, oid)
  const typed = key.map((column) => columns.get(column.name))
  const missing = key.find((column) => columns.get(column.name)?.typeOid !== (column.typeOid ?? undefined))
  if (missing !== undefined || typed.length === 0)
    return { refused: `its column ${missing?.name ?? ''} is not what was replicated: it has been changed` }

  const triggers = await readTriggers(source, oid)
  const suppressing = triggers.find((trigger) => trigger.function === 'suppress_redundant_updates_trigger')
  if (suppressing !== undefined)
    return { refused: `its trigger ${suppressing.name} drops updates that change nothing, so it cannot be touched` }
  const instead = await source.query<[string]>(
    `SELECT rulename FROM pg_catalog.pg_rewrite WHERE ev_class = $1 AND ev_type = '2' AND is_instead AND ev_enabled IN ('O', 'A')`,
    [oid],
  )
  if (instead.length > 0) return { refused: `its rule ${instead[0]![0]} does something else instead of an UPDATE` }

  // Best a column of the key, which hardly any trigger waits for.
  const settable = [...typed.map((column) => column!), ...columns.values()].filter((column) => column.settable)
  const watched = new Set(triggers.flatMap((trigger) => trigger.columns))
  const touched = settable.find((column) => !watched.has(column.name)) ?? settable[0]
  if (touched === undefined) return { refused: 'it has no column that an UPDATE may set' }
  const fired = triggers.filter((trigger) => trigger.columns.length === 0 || trigger.columns.includes(touched.name))
  return {
    target: {
      schema,
      table: name,
      key: typed.map((column) => ({ name: column!.name, type: column!.type })),
      touched: touched.name,
    },
    notes: [
      ...fired.map((trigger) => `The trigger ${trigger.name} (function ${trigger.function}) fires for each row.`),
      ...(rowSecurity ? ['Row-level security applies to the role: rows that it hides count as missing.'] : []),
      ...(identity === 'f' ? ['REPLICA IDENTITY FULL: each touched row is written to the log twice.'] : []),
    ],
  }
}

async function readColumns(source: Connection, table: number): Promise<Map<string, Column>> {
  // Types of other schemas than pg_catalog are named with theirs; -1: without a length, which `character` would have.
  await source.execute('BEGIN READ ONLY')
  try {
    await source.execute(`SET LOCAL search_path = ''`)
    const rows = await source.query<[string, number, string, boolean]>(
      `SELECT attname, atttypid::int8, format_type(atttypid, -1),
              attgenerated = '' AND attidentity <> 'a' AND has_column_privilege(attrelid, attnum, 'UPDATE')
         FROM pg_catalog.pg_attribute
        WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
      [table],
    )
    return new Map(rows.map(([name, typeOid, type, settable]) => [name, { name, typeOid, type, settable }]))
  } finally {
    await source.execute('COMMIT')
  }
}

async function readTriggers(source: Connection, table: number): Promise<Trigger[]> {
  // 16: for UPDATE. Triggers of partitions fire too.
  const rows = await source.query<[string, string, string[]]>(
    `SELECT DISTINCT t.tgname, p.proname,
            ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
                   WHERE a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr::int2[]) ORDER BY 1)
       FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
      WHERE t.tgrelid IN (SELECT $1::oid UNION SELECT relid FROM pg_catalog.pg_partition_tree($1::oid::regclass))
        AND NOT t.tgisinternal AND t.tgtype & 16 <> 0 AND t.tgenabled IN ('O', 'A')
      ORDER BY 1, 2`,
    [table],
  )
  return rows.map(([name, fn, columns]) => ({ name, function: fn, columns }))
}
