// Four projects: `unit` needs nothing, `sqlite` the loadable extension (built with cargo on first need), `postgres` (test files named
// *.pg.test.ts) shares one real server for the whole run, `synapse` (test/e2e) also wants Python and PyPI and takes minutes: it is a command
// of its own.
import { defineConfig } from 'vitest/config'

const sqliteTests = ['test/sqlite/**/*.test.ts', 'test/cli/*sqlite*.test.ts']

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/**/*.pg.test.ts', 'test/e2e/**', ...sqliteTests],
          testTimeout: 30_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'sqlite',
          include: sqliteTests,
          globalSetup: ['test/support/sqlite/extension-setup.ts'],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          pool: 'forks',
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: 'postgres',
          include: ['test/**/*.pg.test.ts'],
          globalSetup: ['test/support/postgres-setup.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          pool: 'forks',
          maxWorkers: 2,
          sequence: { groupOrder: 3 },
        },
      },
      {
        test: {
          name: 'synapse',
          include: ['test/e2e/**/*.e2e.test.ts'],
          globalSetup: ['test/e2e/synapse-setup.ts', 'test/support/postgres-setup.ts'],
          pool: 'forks',
          sequence: { groupOrder: 4 },
        },
      },
    ],
    coverage: { provider: 'v8', include: ['src/**'] },
  },
})
