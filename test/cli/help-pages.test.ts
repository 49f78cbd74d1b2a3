// Every command has its page in docs/cli, and the page holds what `--help` prints. TAMP_WRITE_DOCS=1 brings the pages up to date.
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { runTamp } from './run-tamp.ts'

const pages = [
  ['tamp-synapse-inspect.md', ['synapse', 'inspect']],
  ['tamp-synapse-compact.md', ['synapse', 'compact']],
  ['tamp-synapse-check.md', ['synapse', 'check']],
  ['tamp-powersync-inspect.md', ['powersync', 'inspect']],
  ['tamp-powersync-compact.md', ['powersync', 'compact']],
  ['tamp-powersync-defragment.md', ['powersync', 'defragment']],
  ['tamp-powersync-check.md', ['powersync', 'check']],
  ['tamp-powersync-reclaim.md', ['powersync', 'reclaim']],
  ['tamp-sqlite-inspect.md', ['sqlite', 'inspect']],
  ['tamp-sqlite-enable.md', ['sqlite', 'enable']],
  ['tamp-sqlite-maintain.md', ['sqlite', 'maintain']],
  ['tamp-sqlite-disable.md', ['sqlite', 'disable']],
  ['tamp-sqlite-check.md', ['sqlite', 'check']],
  ['tamp-sqlite-index.md', ['sqlite', 'index']],
  ['tamp-sqlite-shell-init.md', ['sqlite', 'shell-init']],
  ['tamp-demo.md', ['demo']],
] as const
const directory = new URL('../../docs/cli/', import.meta.url)
const block = /(<!-- The page of --help; made by TAMP_WRITE_DOCS=1 npm test -->\n\n```text\n)(.*?)(```\n)/s

test.concurrent.each(pages)('%s holds the page of --help', async (name, words) => {
  const { out, status } = await runTamp([...words, '--help'])
  expect(status).toBe(0)
  const file = new URL(name, directory)
  const text = await readFile(file, 'utf8')
  if (process.env['TAMP_WRITE_DOCS'] === '1')
    await writeFile(
      file,
      text.replace(block, (_all, head, _old, end) => head + out + end),
    )
  expect(block.exec(await readFile(file, 'utf8'))?.[2]).toBe(out)
})

test.concurrent.each(pages)('%s speaks of every option, and of none that is not there', async (name, words) => {
  const { out } = await runTamp([...words, '--help'])
  const options = new Set(out.match(/^ {2}--[a-z-]+/gm)!.map((line) => line.trim()))
  const prose = (await readFile(new URL(name, directory), 'utf8')).replace(block, '')
  const named = new Set([...prose.matchAll(/`(--[a-z-]+)/g)].map((match) => match[1]!))
  for (const common of ['--help']) options.delete(common)
  expect([...options].filter((option) => !named.has(option))).toEqual([])
  expect([...named].filter((option) => !options.has(option))).toEqual([])
})

test('there is a page for every command, and no command for which there is none', async () => {
  const found = (await readdir(directory)).filter((name) => name.startsWith('tamp-')).toSorted()
  expect(found).toEqual(pages.map(([name]) => name).toSorted())
  for (const compactor of ['synapse', 'powersync', 'sqlite']) {
    const { out } = await runTamp([compactor, '--help'])
    const commands = [
      ...out
        .split('Commands:')[1]!
        .split('Options:')[0]!
        .matchAll(/^ {2}([a-z-]+) /gm),
    ].map((match) => match[1])
    expect(commands.toSorted()).toEqual(
      pages.flatMap(([, [first, second]]) => (first === compactor ? [second] : [])).toSorted(),
    )
  }
})
