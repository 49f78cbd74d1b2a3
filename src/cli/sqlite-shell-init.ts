// `tamp sqlite shell-init`: what the sqlite3 shell, Python and Node need to read compressed columns. Prints, and changes nothing.
import type { FlagParametersForType } from '@stricli/core'
import { extensionLibrary } from '../sqlite/index.ts'
import { tampCommand } from './command.ts'
import type { TampContext } from './command.ts'
import type { Terminal } from './terminal.ts'

const programs = ['shell', 'python', 'node'] as const

interface ShellInitFlags {
  readonly for?: (typeof programs)[number]
}

const flags: FlagParametersForType<ShellInitFlags, TampContext> = {
  for: {
    kind: 'enum',
    values: programs,
    optional: true,
    brief: 'Only the lines for this program, ready to be written to a file. Default: all three, with headings.',
  },
}

export const sqliteShellInitCommand: ReturnType<typeof tampCommand> = tampCommand<ShellInitFlags>({
  brief: 'Print what loads the extension into the sqlite3 shell, Python and Node.',
  description: `Prints the lines that load tamp's extension, with its path on this machine: whoever reads or writes a compressed column needs \
it. They also keep temporary tables in memory, which makes updates of compressed tables ten times as fast; but a VACUUM then takes the whole \
file into memory: PRAGMA temp_store = DEFAULT before that.

  tamp sqlite shell-init
  tamp sqlite shell-init --for shell >> ~/.sqliterc

In the repository the extension is built with cargo first, where it is not there yet.
Exit status: 0 done; 1 failed; 2 wrong use.`,
  flags,
  run: runShellInit,
})

async function runShellInit(terminal: Terminal, given: ShellInitFlags): Promise<number> {
  const library = await extensionLibrary({ tell: (sentence) => terminal.err(`${sentence}\n`) })
  terminal.out(given.for === undefined ? allPrograms(library) : lines[given.for](library))
  return 0
}

const lines: Readonly<Record<(typeof programs)[number], (library: string) => string>> = {
  shell: (library) => `.load ${shellWord(library)}
-- Makes updates of compressed tables ten times as fast. A VACUUM then takes the whole file into memory: DEFAULT before that.
PRAGMA temp_store = MEMORY;
`,
  python: (library) => `import sqlite3

db = sqlite3.connect("events.db")
db.enable_load_extension(True)
db.load_extension(${JSON.stringify(library)})
db.enable_load_extension(False)
db.execute("PRAGMA temp_store = MEMORY")
`,
  node: (library) => `import { open } from 'tamp/sqlite'

const db = await open('events.db') // better-sqlite3; open('events.db', { driver: 'node:sqlite' })

// A connection made without tamp, by better-sqlite3 or by node:sqlite with allowExtension: true:
//   db.loadExtension(${JSON.stringify(library)})
//   db.exec('PRAGMA temp_store = MEMORY')
`,
}

function allPrograms(library: string): string {
  return [
    '-- The sqlite3 shell: in ~/.sqliterc, or typed.',
    lines.shell(library),
    '# Python: its sqlite3 module, unless it was built without extensions.',
    lines.python(library),
    '// Node.',
    lines.node(library),
  ].join('\n')
}

/** The shell reads words in quotes with the escapes of C. */
function shellWord(path: string): string {
  return /^[\w./+:@%-]+$/.test(path) ? path : `"${path.replace(/[\\"]/g, '\\$&')}"`
}
