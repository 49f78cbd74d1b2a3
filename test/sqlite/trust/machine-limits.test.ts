// A disk that is full, a heap and a length that are limited: the run stops with the reason, nothing is lost, and the next one goes on.
import { describe, expect, test } from 'vitest'
import { disabling, enabling, fileOf, maintaining, outcome, rows } from '../../support/sqlite/event-stages.ts'
import { integrity, stateOf, wrongRows } from '../../support/sqlite/events-database.ts'
import { openJudge } from '../../support/sqlite/judge.ts'
import { openHost, policyOf } from '../../support/sqlite/policy-host.ts'
import { shellIsThere, startShell } from '../../support/sqlite/sqlite-shell.ts'

describe('P2: a disk that is full', () => {
  const cases = {
    enable: ['plain', enabling],
    maintain: ['enabled', maintaining],
    disable: ['maintained', disabling],
  } as const
  test.each(Object.entries(cases))('%s stops, loses nothing, and goes on when there is room', (_, [stage, deed]) => {
    let stopped = 0
    for (const pages of [0, 1, 2, 3, 5, 8, 12, 20, 40]) {
      // Dictionaries that need pages of their own.
      const large = `UPDATE _zstd_configs SET config = json_set(config, '$.dict_size_ratio', 0.3);`
      const file = fileOf(stage, `${stage === 'enabled' ? large : ''} VACUUM`)
      const db = openJudge(file)
      {
        using host = openHost(file)
        const [[now]] = host.driver.query('PRAGMA page_count') as [[number]]
        host.driver.query(`PRAGMA max_page_count = ${now + pages}`)
        const ended = outcome(() => host.run(policyOf(deed)))
        expect(host.driver.autocommit).toBe(true)
        if (/full|room|max_page_count/.test(ended)) stopped++
        else
          expect(ended).toMatch(
            deed.command === 'enable' ? /"takenOver":false/ : /"complete":true.*"skipped":\[\]|"complete":true/,
          )
      }
      expect(integrity(db)).toEqual(['ok'])
      expect(wrongRows(db, { rows })).toEqual([])
      const state = stateOf(db)
      expect(['plain', 'compressed']).toContain(state)
      const target = deed.command === 'disable' ? 'plain' : 'compressed'
      using host = openHost(file)
      if (deed.command === 'maintain' || state !== target) host.run(policyOf(deed))
      expect(stateOf(db)).toBe(target)
      expect(wrongRows(db, { rows })).toEqual([])
      if (deed.command === 'maintain')
        expect(db.prepare('SELECT count(*) FROM _events_zstd WHERE _data_dict > 0').pluck().get()).toBeGreaterThan(200)
      db.close()
    }
    expect(stopped).toBeGreaterThan(0)
  })
})

describe.skipIf(!shellIsThere)('P2 P6: limits of the machine', () => {
  test('SQLITE_LIMIT_LENGTH: the row that is too long says so, the others go on', async () => {
    const file = fileOf('maintained')
    const shell = startShell(file, ['.limit length 5000'])
    expect(await shell.ask('SELECT length(data) FROM events WHERE id = 199;')).toMatch(
      /too big|too long|cannot be decoded/,
    )
    expect(Number(await shell.ask('SELECT length(data) FROM events WHERE id = 8;'))).toBeGreaterThan(100)
    await shell.end()
  })

  // The drivers of Node are compiled without a count of the heap; the shell keeps to its limit.
  test.each([200_000, 300_000, 450_000, 600_000, 900_000])(
    'a heap of %d bytes: no crash, nothing lost',
    async (bytes) => {
      for (const [stage, sql, done] of [
        [
          'plain',
          `SELECT zstd_enable_transparent('{"table": "events", "column": "data", "compression_level": 3, "dict_chooser": "''a''"}');`,
          /^Done!$/,
        ],
        ['enabled', 'SELECT zstd_incremental_maintenance(NULL, 1);', /^0$/],
        ['maintained', `SELECT tamp('disable', '{"table": "events", "column": "data"}');`, /"complete":true/],
      ] as const) {
        const file = fileOf(stage)
        const shell = startShell(file, ['PRAGMA cache_size = 20;', `PRAGMA hard_heap_limit = ${bytes};`])
        await shell.ask('SELECT 1;')
        const answer = await shell.ask(sql)
        if (!done.test(answer)) expect(answer).toMatch(/memory/)
        await shell.end()
        const db = openJudge(file)
        expect(integrity(db)).toEqual(['ok'])
        expect(wrongRows(db, { rows })).toEqual([])
        expect(['plain', 'compressed']).toContain(stateOf(db))
        db.close()
        using host = openHost(file)
        host.run(
          policyOf(
            stage === 'plain' ? { command: 'inspect' } : stage === 'enabled' ? maintaining : { command: 'check' },
          ),
        )
      }
    },
  )
})
