// What works differently on a compressed table, each with the other way to do it.

import { isReadByTable } from './create-table.ts'
import { defaultExpression } from './layout.ts'
import { quoted, rowsTable } from './names.ts'
import { columnOf } from './table.ts'
import type { Column, Table } from './table.ts'

/** Codes are stable. */
export interface Remark {
  readonly code: string
  readonly detail: string
  readonly hint?: string
}

/** What a table does differently when one of its columns is compressed. */
export function* tableRemarks(table: Table): Iterable<Remark> {
  const rows = rowsTable(table.name)
  yield {
    code: 'needs-extension',
    detail: `Programs that read or write ${table.name} must load the extension first.`,
    hint: '`tamp sqlite shell-init` prints how, for the sqlite3 shell, Python and Node.',
  }
  yield {
    code: 'returning',
    detail: `INSERT … RETURNING gives what was inserted, without ${table.rowidAlias === undefined ? 'values that the table fills in' : `the ${table.rowidAlias} that SQLite picks and other values that the table fills in`}.`,
    hint: 'Give all values yourself, or select the row afterwards.',
  }
  yield {
    code: 'upsert',
    detail: 'INSERT … ON CONFLICT DO is not possible on a view.',
    hint: `INSERT OR REPLACE and INSERT OR IGNORE work; or write to ${quoted(rows)}, which takes plain values (set ${quoted('_…_dict')} to NULL with them).`,
  }
  yield {
    code: 'changes',
    detail: 'changes() and last_insert_rowid() do not count what is written through a view.',
    hint: 'Use total_changes(), or max() of the key in the same transaction.',
  }
  yield {
    code: 'new-foreign-key',
    detail: `A table made from now on cannot reference ${table.name}.`,
    hint: `Let it reference ${quoted(rows)}; existing references are carried over.`,
  }
  yield {
    code: 'alter-table',
    detail: `ALTER TABLE, DROP TABLE, CREATE INDEX and AFTER or BEFORE triggers are not possible on ${table.name} by its name.`,
    hint: 'Use `tamp sqlite index` for indexes; else disable, change, and enable again.',
  }
  yield {
    code: 'column-information',
    detail: `PRAGMA table_info(${table.name}) says nothing of keys, NOT NULL, defaults and the type of compressed columns.`,
    hint: `Ask for ${quoted(rows)}.`,
  }
  if (table.rowid !== undefined && table.rowidAlias?.toLowerCase() !== 'rowid')
    yield {
      code: 'rowid',
      detail: `${table.name} has no rowid under that name any more.`,
      hint:
        table.rowidAlias === undefined
          ? `Select it from ${quoted(rows)}.`
          : `Say ${quoted(table.rowidAlias)}, which is the same.`,
    }
  if (table.indexes.length > 0)
    yield {
      code: 'indexed-by',
      detail: `INDEXED BY cannot name an index of ${table.name}.`,
      hint: 'Leave it away: SQLite finds the indexes through the view.',
    }
  const generated = table.columns.filter((column) => column.generated !== undefined)
  if (generated.length > 0)
    yield {
      code: 'generated-columns',
      detail: `An INSERT without a list of columns must give values for ${listed(generated)} too, and may give only NULL.`,
      hint: 'Say which columns the values are for.',
    }
  const defaults = table.columns.filter(
    (column) => column.name !== table.rowidAlias && defaultExpression(column) !== undefined,
  )
  if (defaults.length > 0)
    yield {
      code: 'null-for-default',
      detail: `An INSERT that gives NULL for ${listed(defaults)} stores the default.`,
      hint: 'Insert the row, then UPDATE the column to NULL.',
    }
  const nullable = table.key.filter(
    ({ name }) => !table.withoutRowid && name !== table.rowidAlias && !columnOf(table, name).notNull,
  )
  if (nullable.length > 0)
    yield { code: 'null-in-key', detail: `NULL for ${listed(nullable)}, which is in the key, is refused.` }
  if (table.triggers.some(({ sql }) => /\bUPDATE\s+OF\b/i.test(sql)))
    yield {
      code: 'update-of',
      detail:
        'Triggers AFTER or BEFORE UPDATE OF a column fire when the column changes, no longer when it is given the value it had.',
    }
  for (const { name } of table.contentOf)
    yield { code: 'content-table', detail: `The virtual table ${name} will read its content through the view.` }
}

/** What a compressed column does differently. */
export function* columnRemarks(table: Table, column: Column): Iterable<Remark> {
  const lane = `${table.name}.${column.name}`
  if (!table.strict && column.affinity !== 'BLOB')
    yield {
      code: 'affinity',
      detail: `Comparisons with ${lane} convert nothing any more: ${column.affinity === 'TEXT' ? `${column.name} = 77 does not find '77'` : `${column.name} = '77' does not find 77`}.`,
      hint: `Compare with values of the type that is stored, or with CAST(${quoted(column.name)} AS ${column.affinity}).`,
    }
  if (isReadByTable(table.plainSql, column.name))
    yield {
      code: 'read-by-table',
      detail: `A CHECK constraint or generated column reads ${column.name}: writing to ${table.name}, integrity checks and VACUUM need the extension too.`,
    }
  if (table.strict && ['TEXT', 'BLOB'].includes(column.type.toUpperCase()))
    yield {
      code: 'strict',
      detail: `${quoted(rowsTable(table.name))} declares ${column.name} as ANY; writing through ${table.name} is as strict as before.`,
    }
}

function listed(columns: readonly { readonly name: string }[]): string {
  return columns.map(({ name }) => name).join(', ')
}
