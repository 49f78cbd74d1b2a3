// Touching as a way of defragmenting: what is left to be done afterwards is said, and the storage itself is not written to.
import { expect, test } from 'vitest'
import { defragmentBuckets } from '../../../../src/powersync/defragment/defragment.ts'
import { loadStorage, storageOf } from '../../../support/powersync/storages.ts'

test('touched and published, it says when to compact, and keeps nothing in the storage', async () => {
  await using stored = await loadStorage(2)
  await using source = await loadStorage('source')
  await stored.query(`UPDATE sync_rules SET last_checkpoint_lsn = 'FFFFFFFF/00000000'`)
  const report = await defragmentBuckets(await storageOf(stored), {
    mode: 'execute',
    how: 'touch',
    source: source.url,
    maxResyncRows: 50,
  })
  expect(report).toMatchObject({ complete: true, next: expect.stringMatching(/600 s old: tamp powersync compact$/) })
  expect(report.itemsChanged).toBeGreaterThan(0)
  expect(report.units.done).toBe(report.itemsChanged)
  expect(await stored.query(`SELECT FROM pg_namespace WHERE nspname = 'tamp'`)).toEqual([])
})
