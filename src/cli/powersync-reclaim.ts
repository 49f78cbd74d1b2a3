// `tamp powersync reclaim`: the space of the storage's tables, VACUUM with its figures, and how to give space back to the disk.
import type { FlagParametersForType } from '@stricli/core'
import { reclaimSpace } from '../powersync/index.ts'
import type { Reclaimed, ReclaimedTable } from '../powersync/index.ts'
import { checkOutputFlags, outputFlags, tampCommand, toggle } from './command.ts'
import type { OutputFlags, TampContext } from './command.ts'
import { bytes, count, counted, duration, percent, printable } from './figures.ts'
import { Interruption } from './interruption.ts'
import { jsonLine } from './json-lines.ts'
import { checkStorageFlags, openStorage, storageAliases, storageFlags } from './powersync-options.ts'
import type { StorageFlags } from './powersync-options.ts'
import { Progress } from './progress.ts'
import { blocksText } from './report-text.ts'
import { table } from './table.ts'
import type { Terminal } from './terminal.ts'

interface ReclaimFlags extends StorageFlags, OutputFlags {
  readonly execute: boolean
}

const flags: FlagParametersForType<ReclaimFlags, TampContext> = {
  execute: toggle('Run VACUUM (ANALYZE) on the tables. Without it nothing is changed.'),
  ...storageFlags,
  ...outputFlags,
}

export const powersyncReclaimCommand: ReturnType<typeof tampCommand> = tampCommand<ReclaimFlags>({
  brief: 'Free the space that compacting has left, or say how.',
  description: `Says how much of the storage's tables is used, how much is dead or empty, and what it takes to give it back to the disk. \
With --execute it runs VACUUM (ANALYZE) on each: that makes the room of removed operations free for new ones, and blocks nobody.

  tamp powersync reclaim --config /config/powersync.yaml
  tamp powersync reclaim --config /config/powersync.yaml --execute

VACUUM shortens a file only by what is empty at its very end. The rest is given back by writing the table anew: the statements for that are \
printed, with the locks they take and the disk space they need, and never run by tamp.
Exit status: 0 done; 1 failed; 2 wrong use; 10 schema not recognised; 11 another tamp is at work; 130 interrupted.`,
  flags,
  aliases: storageAliases,
  run: runReclaim,
})

async function runReclaim(terminal: Terminal, given: ReclaimFlags): Promise<number> {
  checkOutputFlags(given)
  checkStorageFlags(given)
  const { json, quiet, execute } = given
  using interruption = new Interruption(terminal, 'Stopping: what VACUUM has done so far stays.')
  const storage = await openStorage(given, interruption)
  const progress = new Progress(terminal, {
    show: quiet ? null : json ? 'bar-only' : 'auto',
    beginning: execute ? 'Vacuuming …' : 'Measuring the tables …',
    units: 'tables',
  })
  const reclaimed = await (async () => {
    using _shown = progress
    return await reclaimSpace(storage, { execute, signal: interruption.signal })
  })()
  if (json) terminal.out(jsonLines(reclaimed))
  else terminal.out(reclaimedText(reclaimed, given, terminal))
  return reclaimed.complete ? 0 : 130
}

function jsonLines({ mode, complete, tables, givingBack, notes, seconds }: Reclaimed): string {
  const total = (when: 'before' | 'after', key: 'tableBytes' | 'indexBytes' | 'unusedBytesEstimate'): number =>
    tables.reduce((sum, one) => sum + one[when][key], 0)
  const all = (when: 'before' | 'after'): object => ({
    bytes: total(when, 'tableBytes') + total(when, 'indexBytes'),
    unusedBytesEstimate: total(when, 'unusedBytesEstimate'),
  })
  return [
    ...tables.map((one) => jsonLine({ type: 'plan', ...one })),
    jsonLine({
      type: 'summary',
      command: 'powersync reclaim',
      mode,
      complete,
      before: all('before'),
      after: all('after'),
      givingBack,
      notes,
      seconds,
    }),
  ].join('')
}

function reclaimedText(reclaimed: Reclaimed, { quiet }: ReclaimFlags, terminal: Terminal): string {
  const { tables, notes } = reclaimed
  const rows = tables.map(({ table: name, after }) => [
    name,
    bytes(after.tableBytes),
    bytes(after.indexBytes),
    `~${count(after.rowsEstimate)}`,
    `~${count(after.deadRowsEstimate)}`,
    `~${bytes(after.unusedBytesEstimate)}`,
    percent(after.unusedBytesEstimate, after.tableBytes),
    after.emptyTailBytes === null ? '?' : bytes(after.emptyTailBytes),
  ])
  const titles = ['Table', 'Size', 'Indexes', 'Rows', 'Dead rows', 'Unused', '', 'At the end']
  const lines = table(
    titles.map((title, at) => ({ title, align: at === 0 ? 'left' : 'right' })),
    rows,
    undefined,
    { title: (text) => terminal.style('dim', text) },
  )
  return blocksText([
    quiet || tables.length === 0 ? [] : lines,
    quiet ? [] : givingBackBlock(reclaimed),
    notes.map((note) => `${printable(note)}.`),
    resultBlock(reclaimed, terminal),
  ])
}

/** What gives space back to the disk, for those who may: each with what it locks and needs. */
function givingBackBlock({ givingBack, mode }: Reclaimed): string[] {
  return givingBack.flatMap((way) => {
    const need = bytes(way.bytesEstimate)
    return [
      `${way.table}: about ${bytes(way.freedBytesEstimate)} could go back to the disk${mode === 'execute' ? '' : ', VACUUM or not'}, in one of these ways:`,
      `  ${way.pgRepack}`,
      `      beside the service, but for two short moments; needs the extension pg_repack and about ${need} of disk meanwhile`,
      `  ${way.vacuumFull}`,
      `      locks out the service and every client until it has ended; needs about ${need} of disk meanwhile`,
      `  ${way.reindex}`,
      `      beside the service; shrinks the indexes only`,
    ]
  })
}

function resultBlock({ tables, mode, complete, seconds }: Reclaimed, terminal: Terminal): string[] {
  const sum = (of: (one: ReclaimedTable) => number): number => tables.reduce((whole, one) => whole + of(one), 0)
  if (mode === 'dry-run') {
    const tail = sum(({ before }) => before.emptyTailBytes ?? 0)
    const unused = sum(({ before }) => before.unusedBytesEstimate)
    return [
      terminal.style(
        'bold',
        `About ${bytes(unused)} of ${bytes(sum(({ before }) => before.tableBytes))} hold no rows: VACUUM makes them usable for new ones, and gives ${bytes(tail)} back to the disk.`,
      ),
      `Nothing was changed; ${duration(seconds)}. The same command with --execute runs it.`,
    ]
  }
  const done = tables.filter(({ vacuumed }) => vacuumed)
  const dead = sum(({ before, after }) => Math.max(0, before.deadRowsEstimate - after.deadRowsEstimate))
  const given = sum(({ before, after }) => before.tableBytes + before.indexBytes - after.tableBytes - after.indexBytes)
  return [
    terminal.style(
      'bold',
      `${counted(done.length, 'table')} vacuumed: about ${counted(dead, 'dead row')} removed, ` +
        `${bytes(Math.max(0, given))} given back to the disk, about ${bytes(sum(({ after }) => after.unusedBytesEstimate))} free for new operations.`,
    ),
    `${complete ? '' : 'Interrupted; what VACUUM had done stays. '}${duration(seconds)}.`,
  ]
}
