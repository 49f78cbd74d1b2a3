// The library face of the compactor of SQLite rows: `import { … } from 'tamp/sqlite'`.
export { TampError } from '../core/errors.ts'
export type { Finding } from '../core/report.ts'
export type { Left } from '../core/unit.ts'
export {
  addIndex,
  checkSqlite,
  compressedColumns,
  disableColumn,
  enableColumn,
  exportPlain,
  inspectSqlite,
  maintainSqlite,
} from './host/commands.ts'
export type { Exported, ExportOptions } from './host/commands.ts'
export { extensionLibrary } from './host/extension-library.ts'
export type { LibraryOptions } from './host/extension-library.ts'
export { loadInto, open } from './host/open.ts'
export type { LoadOptions, OpenOptions } from './host/open.ts'
export type { SqliteDriverName } from '../database/sqlite-driver.ts'
export type { RunControl } from './host/run-policy.ts'
export type { ColumnName } from './host/whole-file.ts'
export type { AddedIndex, AddIndexOptions } from './policy/add-index.ts'
export type { Checked, CheckOptions } from './policy/check.ts'
export type { Disabled, DisableOptions } from './policy/disable.ts'
export type { Enabled, EnableOptions } from './policy/enable.ts'
export type { Remark } from './policy/differences.ts'
export type { InspectOptions } from './policy/inspect.ts'
export type { CompressedState, Inspected, InspectedColumn, InspectedTable, InspectedTrial } from './policy/inspected.ts'
export type { Maintained, MaintainOptions } from './policy/maintain.ts'
export type { LogLevel, PolicyEvent } from './policy/request.ts'
