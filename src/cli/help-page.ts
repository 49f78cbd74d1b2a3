// The page that `--help` prints: made from the declarations alone, wrapped to a readable width, the same on every terminal.
import type { Command, RouteMap, StricliIntegration } from '@stricli/core'
import type { TampContext } from './command.ts'

const width = 100

/** `--help` for stricli. Its own page shows no placeholders and does not wrap. */
export function helpPage(): StricliIntegration<TampContext> {
  return {
    flag: {
      brief: 'Print this page.',
      aliases: ['h'],
      global: true,
      defaultForRouteMap: true,
      run(_app, { result, additionalFlags }) {
        const { target, prefix } = result
        const more = additionalFlags.map(({ name, aliases, brief }): Entry => ({
          term: `--${name}${aliases?.[0] ? `, -${aliases[0]}` : ''}`,
          text: brief,
        }))
        const name = prefix.join(' ')
        const command = 'parameters' in target ? target : target.getDefaultCommand()
        this.process.stdout.write(
          command === undefined
            ? routePage(name, target as RouteMap<TampContext>, more)
            : commandPage(name, command as Command<TampContext>, more),
        )
      },
    },
  }
}

interface Entry {
  readonly term: string
  readonly text: string
}

function commandPage(name: string, command: Command<TampContext>, more: readonly Entry[]): string {
  const aliases = Object.entries((command.parameters.aliases ?? {}) as Readonly<Record<string, string>>)
  const flags = Object.entries(command.parameters.flags ?? {}).flatMap(([flag, parameter]): Entry[] => {
    const letter = aliases.find(([, name]) => name === flag)?.[0]
    const value = parameter.kind === 'enum' ? parameter.values.join('|') : parameter.placeholder
    const repeated = 'variadic' in parameter && parameter.variadic === true
    const preset = 'default' in parameter && parameter.kind !== 'boolean' ? parameter.default : undefined
    const text = parameter.brief + (preset === undefined ? '' : ` Default: ${String(preset)}.`)
    const negated = parameter.kind === 'boolean' && !('withNegated' in parameter && parameter.withNegated === false)
    // Of a switch that is on unless told otherwise only the way to turn it off is worth a line.
    if (negated && 'default' in parameter && parameter.default === true) return [{ term: `--no-${kebab(flag)}`, text }]
    return [
      {
        term: `--${kebab(flag)}${letter === undefined ? '' : `, -${letter}`}${value === undefined ? '' : ` ${value}`}${repeated ? ' ...' : ''}`,
        text,
      },
      ...(negated ? [{ term: `--no-${kebab(flag)}`, text: `The opposite of --${kebab(flag)}.` }] : []),
    ]
  })
  const { positional } = command.parameters
  const files = positional?.kind === 'tuple' ? positional.parameters : []
  const places = files.map(({ placeholder, brief }): Entry => ({ term: placeholder ?? '', text: brief }))
  return [
    `Usage: ${[name, ...places.map(({ term }) => term)].join(' ')} [OPTIONS]`,
    '',
    paragraphs(command.fullDescription ?? command.brief),
    '',
    ...(places.length === 0 ? [] : ['Arguments:', ...entries(places, 28), '']),
    'Options:',
    ...entries([...flags, ...more], 28),
    '',
  ].join('\n')
}

function routePage(name: string, route: RouteMap<TampContext>, more: readonly Entry[]): string {
  const commands = route.getAllEntries().flatMap(({ name: names, target, hidden }): Entry[] => {
    return hidden ? [] : [{ term: names.original, text: target.brief }]
  })
  return [
    `Usage: ${name} COMMAND [OPTIONS]`,
    '',
    paragraphs(route.fullDescription ?? route.brief),
    '',
    'Commands:',
    ...entries(commands, 14),
    '',
    'Options:',
    ...entries(more, 16),
    '',
    `"${name} COMMAND --help" explains a command.`,
    '',
  ].join('\n')
}

/** Lines that begin with a space are examples and stay as they are. */
function paragraphs(text: string): string {
  return text
    .split('\n')
    .map((line) => (line.startsWith(' ') ? line : wrap(line, width).join('\n')))
    .join('\n')
}

function entries(list: readonly Entry[], column: number): string[] {
  return list.flatMap(({ term, text }) => {
    const lines = wrap(text, width - column)
    const first = `  ${term}`
    const rest = lines.map((line) => ' '.repeat(column) + line)
    if (first.length + 2 > column) return [first, ...rest]
    return [first.padEnd(column) + lines[0]!, ...rest.slice(1)]
  })
}

function wrap(text: string, to: number): string[] {
  const lines: string[] = ['']
  for (const word of text.split(' ')) {
    const line = lines.at(-1)!
    if (line !== '' && line.length + 1 + word.length > to) lines.push(word)
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
  }
  return lines
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
