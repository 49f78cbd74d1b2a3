// `tamp sqlite index`: an index on a compressed table that queries by its own name use.
import type { FlagParametersForType } from '@stricli/core'
import { addIndex } from '../sqlite/index.ts'
import { checkOutputFlags, outputFlags, tampCommand, toggle } from './command.ts'
import type { OutputFlags, TampContext } from './command.ts'
import { bytes, duration, printable } from './figures.ts'
import { jsonLine, summaryLine } from './json-lines.ts'
import { nameOf } from './option-values.ts'
import { blocksText } from './report-text.ts'
import { executeFlags, fileBrief } from './sqlite-options.ts'
import type { ExecuteFlags } from './sqlite-options.ts'
import { runSqlite, sqliteSummary } from './sqlite-run.ts'
import { statementLines } from './sqlite-text.ts'
import type { Terminal } from './terminal.ts'

interface IndexFlags extends ExecuteFlags, OutputFlags {
  readonly table: string
  readonly on: readonly [string, ...string[]]
  readonly name?: string
  readonly where?: string
  readonly unique: boolean
}

const flags: FlagParametersForType<IndexFlags, TampContext> = {
  table: { kind: 'parsed', parse: nameOf('a table'), placeholder: 'NAME', brief: 'The compressed table.' },
  on: {
    kind: 'parsed',
    parse: nameOf('an expression'),
    variadic: true,
    placeholder: 'EXPR',
    brief:
      "A column or an expression as a query has it, such as data->>'year', with COLLATE, ASC or DESC behind it where wanted; " +
      'may be repeated.',
  },
  name: {
    kind: 'parsed',
    parse: nameOf('a name'),
    optional: true,
    placeholder: 'NAME',
    brief: 'The name of the index. Default: made of the table and what is indexed.',
  },
  where: {
    kind: 'parsed',
    parse: nameOf('a condition'),
    optional: true,
    placeholder: 'EXPR',
    brief: 'Index only rows for which this is true.',
  },
  unique: toggle('Refuse rows that are equal in what is indexed.'),
  ...executeFlags,
  ...outputFlags,
}

export const sqliteIndexCommand: ReturnType<typeof tampCommand> = tampCommand<IndexFlags>({
  brief: 'Make an index on a compressed column; with --execute, do it.',
  description: `Makes an index on a compressed table, in the form that SQLite finds when a query asks the table by its own name: a plain CREATE \
INDEX on a view is not possible, and one on the rows behind it would not be used. Indexes that were there when a column was enabled have \
been carried over already.

  tamp sqlite index events.db --table events --on "data->>'year'" --execute
  tamp sqlite index events.db --table events --on "lower(data->>'title')" --on "id DESC" --where "data->>'year' > '2000'"

"tamp sqlite disable" makes it an index of the plain table. The table is locked for writing while the index is built.
Exit status: 0 done; 1 failed; 2 wrong use; 10 not a database; 11 locked; 130 interrupted.`,
  file: fileBrief,
  flags,
  run: runIndex,
})

async function runIndex(terminal: Terminal, given: IndexFlags, file: string): Promise<number> {
  checkOutputFlags(given)
  const { table, on, name, where, unique, execute, json, quiet } = given
  const run = await runSqlite(
    terminal,
    given,
    {
      file,
      beginning: 'Building the index …',
      stopping: 'Stopping when the index is built; once more ends at once, and leaves nothing behind.',
      withoutLibrary: 'Going on without it, in JavaScript, which is slower.',
    },
    (control) =>
      addIndex(
        file,
        {
          table,
          on,
          unique,
          dryRun: !execute,
          ...(name === undefined ? {} : { name }),
          ...(where === undefined ? {} : { where }),
        },
        control,
      ),
  )
  const { result, seconds, fileBytesBefore, fileBytesAfter } = run
  if (json) {
    terminal.out(jsonLine({ type: 'plan', table, ...result }))
    terminal.out(summaryLine(sqliteSummary('index', execute, run, {})))
    return 0
  }
  const lines = execute
    ? [
        `${terminal.style('bold', `The index ${printable(result.name)} is there.`)} ${duration(seconds)}; ` +
          `the file has ${bytes(fileBytesAfter)} (${bytes(fileBytesBefore)} before).`,
        result.used
          ? `A query for it does: ${result.plan.map(printable).join('; ')}.`
          : terminal.style(
              'yellow',
              'SQLite does not use it for a query on the first of --on: is that how queries have it?',
            ),
      ]
    : ['Nothing was changed. The same command with --execute carries this out.']
  terminal.out(blocksText(quiet ? [lines] : [statementLines([result.statement], terminal), lines]))
  return 0
}
