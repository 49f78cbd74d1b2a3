// SQLite's result codes by name, for a driver that gives names only. https://www.sqlite.org/rescode.html

const primary = (
  'OK ERROR INTERNAL PERM ABORT BUSY LOCKED NOMEM READONLY INTERRUPT IOERR CORRUPT NOTFOUND FULL CANTOPEN PROTOCOL ' +
  'EMPTY SCHEMA TOOBIG CONSTRAINT MISMATCH MISUSE NOLFS AUTH FORMAT RANGE NOTADB NOTICE WARNING'
).split(' ')

/** The extended codes of a primary one, in the order of their numbers; `-` is a number without a name. */
const extended: Readonly<Record<string, string>> = {
  OK: 'LOAD_PERMANENTLY SYMLINK',
  ERROR: 'MISSING_COLLSEQ RETRY SNAPSHOT RESERVESIZE KEY UNABLE',
  ABORT: '- ROLLBACK',
  BUSY: 'RECOVERY SNAPSHOT TIMEOUT',
  LOCKED: 'SHAREDCACHE VTAB',
  READONLY: 'RECOVERY CANTLOCK ROLLBACK DBMOVED CANTINIT DIRECTORY',
  IOERR:
    'READ SHORT_READ WRITE FSYNC DIR_FSYNC TRUNCATE FSTAT UNLOCK RDLOCK DELETE BLOCKED NOMEM ACCESS CHECKRESERVEDLOCK LOCK ' +
    'CLOSE DIR_CLOSE SHMOPEN SHMSIZE SHMLOCK SHMMAP SEEK DELETE_NOENT MMAP GETTEMPPATH CONVPATH VNODE AUTH BEGIN_ATOMIC ' +
    'COMMIT_ATOMIC ROLLBACK_ATOMIC DATA CORRUPTFS IN_PAGE',
  CORRUPT: 'VTAB SEQUENCE INDEX',
  CANTOPEN: 'NOTEMPDIR ISDIR FULLPATH CONVPATH DIRTYWAL SYMLINK',
  CONSTRAINT: 'CHECK COMMITHOOK FOREIGNKEY FUNCTION NOTNULL PRIMARYKEY TRIGGER UNIQUE VTAB ROWID PINNED DATATYPE',
  AUTH: 'USER',
  NOTICE: 'RECOVER_WAL RECOVER_ROLLBACK RBU',
  WARNING: 'AUTOINDEX',
}

const codes: ReadonlyMap<string, number> = new Map(
  primary.flatMap((name, code): [string, number][] => {
    return [
      [`SQLITE_${name}`, code],
      ...(extended[name] ?? '')
        .split(' ')
        .map((part, i): [string, number] => [`SQLITE_${name}_${part}`, code | ((i + 1) << 8)]),
    ]
  }),
)

/** The number of a name such as `SQLITE_CONSTRAINT_UNIQUE`; SQLITE_ERROR for names that are not known. */
export function resultCode(name: string): number {
  return codes.get(name) ?? Number(/^UNKNOWN_SQLITE_ERROR_(\d+)$/.exec(name)?.[1] ?? 1)
}
