// What every command of tamp shares: its context, how it is declared, and the options that mean the same everywhere.
import { buildCommand } from '@stricli/core'
import type { Command, CommandContext, FlagParametersForType } from '@stricli/core'
import { TampError } from '../core/errors.ts'
import { nameOf, seconds, share } from './option-values.ts'
import type { Terminal } from './terminal.ts'

export interface TampContext extends CommandContext {
  readonly terminal: Terminal
}

/** A command as tamp declares it. Its help page is made from this alone. */
export interface CommandDeclaration<Flags> {
  readonly brief: string
  readonly description: string
  readonly flags: FlagParametersForType<Flags, TampContext>
  /** Options of one letter, and what each stands for. */
  readonly aliases?: Readonly<Record<string, keyof Flags & string>>
  /** What FILE is, for a command that takes one before its options. */
  readonly file?: string
  /** Carries the command out and gives its exit status. `file` is empty for a command that takes none. @throws TampError */
  run(terminal: Terminal, flags: Flags, file: string): Promise<number>
}

export function tampCommand<Flags>({
  brief,
  description,
  flags,
  aliases,
  file,
  run,
}: CommandDeclaration<Flags>): Command<TampContext> {
  const build = buildCommand as (declaration: unknown) => Command<TampContext>
  return build({
    docs: { brief, fullDescription: description },
    parameters: {
      flags,
      ...(aliases === undefined ? {} : { aliases }),
      ...(file === undefined
        ? {}
        : {
            positional: {
              kind: 'tuple',
              parameters: [{ brief: file, parse: nameOf('a file'), placeholder: 'FILE' }],
            },
          }),
    },
    async func(this: TampContext & { process: { exitCode?: number } }, given: Flags, path = ''): Promise<void> {
      this.process.exitCode = await run(this.terminal, given, path)
    },
  })
}

export interface OutputFlags {
  readonly json: boolean
  readonly quiet: boolean
  readonly verbose: boolean
}

/** A switch that is off unless given. */
export function toggle(brief: string): { kind: 'boolean'; default: false; withNegated: false; brief: string } {
  return { kind: 'boolean', default: false, withNegated: false, brief }
}

export const outputFlags: FlagParametersForType<OutputFlags, TampContext> = {
  json: toggle('Print one JSON object a line on standard output, and nothing else there; the last is the summary.'),
  quiet: toggle('Print no progress and no tables: only the result and what was left out.'),
  verbose: toggle('Print more: every room, bucket, table and unit, every finding.'),
}

/** How long a run may take, and how much of the time it may work. */
export interface LimitFlags {
  readonly maxDuration?: number
  readonly load: number
}

export const limitFlags: FlagParametersForType<LimitFlags, TampContext> = {
  maxDuration: {
    kind: 'parsed',
    parse: seconds,
    optional: true,
    placeholder: 'TIME',
    brief: 'Stop cleanly after that long (90s, 45m, 2h, 1h30m); the next run goes on. Exit status 75.',
  },
  load: {
    kind: 'parsed',
    parse: share,
    default: '1',
    placeholder: 'SHARE',
    brief: 'Share of the time in which the database may be kept busy: 0.5 pauses as long as it works, 1 never pauses.',
  },
}

export function checkOutputFlags({ quiet, verbose }: OutputFlags): void {
  if (quiet && verbose) contradict('--quiet', '--verbose')
}

/** @throws TampError `usage` */
export function contradict(one: string, other: string, hint: string = 'Give only one of them.'): never {
  throw new TampError('usage', `The options ${one} and ${other} contradict each other.`, { hint })
}
